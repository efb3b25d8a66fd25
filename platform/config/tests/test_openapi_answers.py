"""Real answers of the chat and OpenAI-compatible routes have the types of the OpenAPI schema."""

import json
from typing import Any

import pytest

from accounts.tests.cast import Cast
from config.tests.openapi_validation import Validators
from gateway.tests.events import body, read_events, send
from gateway.tests.scripted_provider import ScriptedProvider

MESSAGES = [{"role": "user", "content": "Hello"}]
CALLS = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]


def component(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.django_db(transaction=True)
def test_real_answers_and_events_fit_their_schemas(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    alice = client_of(cast.alice)
    validators = Validators(alice.get("/v1/schema").json())
    wrong: dict[str, list[str]] = {}

    def check(what: str, schema: str, data: Any) -> None:
        if problems := validators.problems(component(schema), data):
            wrong[what] = problems

    whole = send(alice, "Hello").json()
    check("send", "Reply", whole)
    for event in read_events(alice, "Hello"):
        sent = {"event": event.type, "id": event.id, "data": event.data}
        check(f"event {event.type}", "TurnEvent", sent)
    check("explain", "Decision", alice.post("/v1/chat/explain", json=body("Hello")).json())
    check("turn", "Turn", alice.get(f"/v1/chat/turns/{whole['turn_id']}").json())
    messages = alice.get(f"/v1/conversations/{whole['conversation_id']}/messages").json()
    check("messages", "MessagePage", messages)
    check("models", "ModelList", alice.get("/v1/models").json())
    check("export", "Ledger", alice.get("/v1/usage/export.json").json())

    completion = {"model": "local", "messages": MESSAGES}
    check("completion", "ChatCompletion", alice.post("/v1/chat/completions", json=completion).json())
    provider.script.tool_calls = CALLS
    check("with a call", "ChatCompletion", alice.post("/v1/chat/completions", json=completion).json())
    streamed = {**completion, "stream": True, "stream_options": {"include_usage": True}}
    lines = alice.post("/v1/chat/completions", json=streamed).text.split("\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert len(chunks) > 3
    assert chunks[-1]["usage"]
    for chunk in chunks:
        check("chunk", "ChatCompletionChunk", chunk)

    refused = alice.post("/v1/chat/completions", json={"messages": MESSAGES})
    assert refused.status_code == 400
    check("OpenAI's error", "OpenAIError", refused.json())
    check("error", "Error", alice.post("/v1/chat/send", json={}).json())
    assert wrong == {}
