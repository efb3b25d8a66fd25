"""What the Responses API refuses, and how failures reach its clients."""

import json

import httpx
import openai
import pytest

from accounts.tests.cast import Cast
from gateway.api.responses.tests.package_client import (
    WEATHER,
    checked,
    deltas,
    stream,
)
from gateway.api.tests.raw_provider import RawProvider
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from quotas.tests.ledger import limit_to

REFUSED = [
    ({"tools": [{"type": "web_search"}]}, "tools", "unsupported_parameter"),
    (
        {"tools": [WEATHER, {"type": "code_interpreter", "container": {"type": "auto"}}]},
        "tools",
        "unsupported_parameter",
    ),
    ({"tools": [{"type": "image_generation"}]}, "tools", "unsupported_parameter"),
    ({"tools": [WEATHER, WEATHER]}, "tools[1].name", "invalid_input"),
    (
        {"tool_choice": {"type": "function", "name": "nothing"}, "tools": [WEATHER]},
        "tool_choice",
        "invalid_input",
    ),
    ({"background": True}, "background", "unsupported_parameter"),
    ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
    ({"include": ["file_search_call.results"]}, "include", "unsupported_parameter"),
    ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
    ({"messages": []}, "messages", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"text": {"format": {"type": "grammar"}}}, "text.format", "unsupported_parameter"),
    ({"max_output_tokens": -1}, "max_output_tokens", "invalid_input"),
    ({"temperature": "hot"}, "temperature", "invalid_input"),
    ({"metadata": {"a": 1}}, "metadata", "invalid_input"),
    ({"store": "yes"}, "store", "invalid_input"),
    ({"truncation": "middle"}, "truncation", "invalid_input"),
    ({"input": None}, "input", "invalid_input"),
    ({"input": []}, "input", "invalid_input"),
    ({"input": ["hi"]}, "input[0]", "invalid_input"),
    ({"input": [{"type": "computer_call"}]}, "input[0].type", "invalid_input"),
    ({"input": [{"role": "boss", "content": "hi"}]}, "input[0].role", "invalid_input"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
        "invalid_input",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///a"}]}]},
        "input[0].content[0].image_url.url",
        "invalid_input",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input[0].call_id",
        "invalid_input",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
        "input[0]",
        "invalid_input",
    ),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id", "invalid_input"),
    (
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}]},
        "input[0].encrypted_content",
        "invalid_input",
    ),
    ({"input": "a\0b"}, "input", "invalid_input"),
    ({"input": "\ud800"}, "input", "invalid_input"),
    ({"model": "local", "max_output_tokens": 100_000}, "input", "context_length_exceeded"),
]


def test_what_is_not_supported_is_refused_by_name(
    server: Served, raw: RawProvider, provider: ScriptedProvider, cast: Cast
) -> None:
    raw.answers(deltas({"content": "No."}))
    wrong = []
    with httpx.Client(base_url=server.url, headers=cast.alice.headers, timeout=60) as client:
        for payload, param, code in REFUSED:
            text = json.dumps({"model": "gpt", "input": "Hi", **payload})
            answer = client.post("/v1/responses", content=text, headers={"Content-Type": "application/json"})
            error = answer.json().get("error") or {}
            found = (answer.status_code, error.get("param"), error.get("code"), error.get("type"))
            if found != (400, param, code, "invalid_request_error"):
                wrong.append((payload, found, answer.text[:300]))
        assert client.post("/v1/responses", json={"model": "no", "input": "Hi"}).status_code == 404
        for path in ("/v1/responses/resp_1", "/v1/responses/resp_1/cancel", "/v1/responses/a/b/c"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert wrong == []
    assert raw.requests == []


def test_failures_are_errors_before_the_stream_and_events_within_it(
    alice: openai.OpenAI, provider: ScriptedProvider, cast: Cast
) -> None:
    provider.script = Script(status=500)
    with pytest.raises(openai.InternalServerError):
        alice.responses.create(model="local", input="Hi", stream=True)
    provider.script = Script(steps=["Half "], dies=True)
    events = stream(alice, model="local", input="Hi")
    assert [event.type for event in events[-3:]] == [
        "response.content_part.done",
        "response.output_item.done",
        "response.failed",
    ]
    assert [event.message for event in events if event.type == "error"]
    failed = events[-1].response
    assert (failed.error.code, failed.output[0].content[0].text) == ("server_error", "Half ")
    assert failed.output[0].status == "incomplete"
    stored = checked(alice.responses.retrieve(failed.id))
    assert (stored.status, stored.error) == ("failed", failed.error)
    limit_to(cast.alice, 1)
    with pytest.raises(openai.RateLimitError) as refusal:
        alice.responses.create(model="local", input="Hi")
    assert (refusal.value.code, refusal.value.response.headers["x-should-retry"]) == (
        "insufficient_quota",
        "false",
    )
