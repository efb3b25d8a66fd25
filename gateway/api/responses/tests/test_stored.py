"""Stored responses: continued, branched, repeated by a key, and read only by their owner."""

import json
from typing import Any

import openai
import pytest

from accounts.tests.cast import Cast
from gateway.api.responses.tests.package_client import (
    CALL,
    WEATHER,
    checked,
    deltas,
)
from gateway.api.tests.raw_provider import RawProvider
from gateway.models import StoredResponse, Turn
from gateway.tests.events import send
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from kit.tenancy import tenant_scope
from quotas.models import UsageRecord


def test_a_stored_response_is_a_turn_that_can_be_continued_and_branched(
    alice: openai.OpenAI, raw: RawProvider, client_of: Any, cast: Cast
) -> None:
    call = {**CALL, "function": {"name": "get_weather", "arguments": "{}"}, "extra_content": {"s": "sig"}}
    raw.answers(
        deltas({"reasoning_content": "Hmm."}, {"tool_calls": [call]}, finish="tool_calls"),
        deltas({"content": "Sunny."}),
        deltas({"content": "Again."}),
    )
    first = alice.responses.create(
        model="gpt", input="Weather in Oslo?", tools=[WEATHER], instructions="Be brief."
    )
    assert "encrypted_content" not in json.dumps(first.to_dict())
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    second = alice.responses.create(model="gpt", input=[result], previous_response_id=first.id)
    messages = raw.requests[-1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["reasoning_content"] == "Hmm."
    assert messages[1]["tool_calls"][0]["extra_content"] == {"s": "sig"}

    rest = client_of(cast.alice)
    [conversation] = rest.get("/v1/conversations").json()["data"]
    assert (conversation["title"], conversation["turn_count"]) == ("Weather in Oslo?", 2)
    texts = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"]
    assert [(each["role"], each["content"]) for each in texts] == [
        ("user", "Weather in Oslo?"),
        ("user", "sun"),
        ("assistant", "Sunny."),
    ]
    for made in (first, second):
        stored = checked(alice.responses.retrieve(made.id))
        assert stored.output == made.output
        assert (stored.status, stored.usage, stored.tools) == (made.status, made.usage, made.tools)
        assert stored.previous_response_id == made.previous_response_id
    items = alice.responses.input_items.list(second.id).data
    assert [(item.type, item.output) for item in items] == [("function_call_output", "sun")]  # type: ignore[union-attr]

    with pytest.raises(openai.BadRequestError, match="1 to 100"):
        alice.responses.input_items.list(second.id, extra_query={"limit": "00005000"})

    # Another branch, by references to items instead of the items.
    references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
    question: Any = {"role": "user", "content": "Weather in Oslo?"}
    alice.responses.create(model="gpt", input=[question, *references, result], store=False)
    assert raw.requests[-1]["messages"] == messages
    branch = alice.responses.create(model="gpt", input=[result], previous_response_id=first.id)
    assert raw.requests[-1]["messages"] == messages
    texts = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"]
    assert [each["content"] for each in texts] == ["Weather in Oslo?", "sun", "Again."]
    # The web page, or another client of the chat, continues the conversation, and this API after it.
    raw.answers(deltas({"content": "By chat."}))
    assert send(rest, "And now?", model="gpt", conversation_id=conversation["id"]).status_code == 200
    assert [m["content"] for m in raw.requests[-1]["messages"]][-1] == "And now?"
    by_chat = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"][-1]["turn_id"]
    chat_id = f"resp_{by_chat.replace('-', '')}"
    alice.responses.create(model="gpt", input="Still?", previous_response_id=chat_id)
    assert [m["content"] for m in raw.requests[-1]["messages"]][-3:] == ["And now?", "By chat.", "Still?"]

    alice.responses.delete(second.id)
    alice.responses.delete(first.id)
    for gone in (first, second):
        with pytest.raises(openai.NotFoundError):
            alice.responses.retrieve(gone.id)
        with pytest.raises(openai.BadRequestError) as refusal:
            alice.responses.create(model="gpt", input="hi", previous_response_id=gone.id)
        assert refusal.value.code == "previous_response_not_found"
        assert refusal.value.param == "previous_response_id"
    assert checked(alice.responses.retrieve(branch.id)).output_text == "Again."
    assert rest.delete(f"/v1/conversations/{conversation['id']}").status_code == 204
    with pytest.raises(openai.NotFoundError):
        alice.responses.retrieve(branch.id)
    with tenant_scope(cast.alice.principal.tenant):
        assert not StoredResponse.objects.exists()


def test_a_repeated_key_gives_the_same_response_and_one_bill(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    keyed = {"Idempotency-Key": "once"}
    first = alice.responses.create(model="local", input="Hi", extra_headers=keyed)
    again = alice.responses.create(model="local", input="Hi", extra_headers=keyed)
    assert (again.id, again.output) == (first.id, first.output)
    assert len(provider.requests) == UsageRecord.objects.count() == 1
    with pytest.raises(openai.ConflictError):
        alice.responses.create(model="local", input="Other", extra_headers=keyed)


def test_no_one_else_gets_a_response(
    alice: openai.OpenAI, server: Served, provider: ScriptedProvider, cast: Cast
) -> None:
    made = alice.responses.create(model="local", input="Secret plans")
    sealed = alice.responses.create(model="local", input="Hi", include=["reasoning.encrypted_content"])
    assert sealed.output_text
    for person in (cast.bob, cast.charlie, cast.dana):
        other = alice.with_options(api_key=person.token).responses
        more: Any = {"model": "local", "input": "And?", "previous_response_id": made.id}
        for attempt in (other.retrieve, other.delete, other.input_items.list):
            with pytest.raises(openai.NotFoundError):
                attempt(made.id)
        with pytest.raises(openai.BadRequestError) as refusal:
            other.create(**more)
        error: Any = refusal.value.body
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
        reference: Any = {"type": "item_reference", "id": made.output[0].id}
        with pytest.raises(openai.BadRequestError):
            other.create(model="local", input=[reference])
    with tenant_scope(cast.alice.principal.tenant):
        assert Turn.objects.filter(stored_response__isnull=False).count() == 2
