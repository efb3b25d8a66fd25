"""Anthropic's own Python package works with every model, with only its base address and key changed."""

import json
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from accounts.tests.cast import Cast
from gateway.api.messages.consumers import MessagesConsumer
from gateway.providers.tests import scripted_anthropic as claude
from gateway.providers.tests import scripted_openai as gpt
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.tests.scripted_provider import Script, ScriptedProvider

Behind = Callable[..., ScriptedServer]
HELLO: Any = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
ADD: Any = {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}}
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def events_of(client: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream; each is one of the package's own types."""
    answer = client.post("/v1/messages", json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in events]
    for event in events:
        if event["type"] not in ("ping", "error"):
            EVENT.validate_python(event, strict=False)
    return events


def test_it_chats_whole_and_streamed(alice: anthropic.Anthropic, provider: ScriptedProvider) -> None:
    message = alice.messages.create(model="local", system="Be brief.", **HELLO)
    assert message.content[0].to_dict() == {"type": "text", "text": "Hello there."}
    assert (message.stop_reason, message.model, message.role) == ("end_turn", "local", "assistant")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 3)
    assert provider.requests[-1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    with alice.messages.stream(model="local", system="Be brief.", **HELLO) as stream:
        assert "".join(stream.text_stream) == "Hello there."
        final = stream.get_final_message()
    assert final.content[0].to_dict() == message.content[0].to_dict()
    assert (final.usage.input_tokens, final.usage.output_tokens) == (5, 3)


def test_every_event_has_the_packages_own_type(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    provider.script = Script(steps=["Let me see."], tool_calls=[call], finish_reason="tool_calls")
    body = {"model": "local", "tools": [ADD], **HELLO}
    kinds = [event["type"] for event in events_of(client_of(cast.alice), body)]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", *block, *block, "message_delta", "message_stop"]
    whole = client_of(cast.alice).post("/v1/messages", json=body)
    assert Message.model_validate(whole.json()).stop_reason == "tool_use"
    assert whole.headers["request-id"] == whole.headers["x-request-id"]
    assert whole.headers["x-switchyard-model"] == "local"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_tool_loop_runs_with_a_compatible_model(
    alice: anthropic.Anthropic, behind: Behind, is_streamed: bool
) -> None:
    def piece(index: int, text: str, **head: Any) -> bytes:
        return gpt.chunk({"tool_calls": [{"index": index, **head, "function": {"arguments": text}}]})

    def start(index: int, call_id: str) -> bytes:
        function = {"name": "add", "arguments": ""}
        call = {"index": index, "id": call_id, "type": "function", "function": function}
        return gpt.chunk({"tool_calls": [call]})

    calls = [start(0, "c1"), start(1, "c2"), piece(1, '{"a":'), piece(0, '{"a":1}'), piece(1, "2}")]
    asks = [*calls, gpt.chunk(finish="tool_calls"), gpt.usage(prompt_tokens=9, completion_tokens=8), gpt.DONE]
    upstream = behind("compatible", Answer(asks), gpt.reply("Three."))

    def ask(messages: list[Any]) -> Message:
        wanted: Any = {"model": "compatible", "max_tokens": 50, "tools": [ADD], "messages": messages}
        if not is_streamed:
            return alice.messages.create(**wanted)
        with alice.messages.stream(**wanted) as stream:
            return stream.get_final_message()

    messages: list[Any] = [{"role": "user", "content": "Add 1 and 2."}]
    reply = ask(messages)
    assert reply.stop_reason == "tool_use"
    assert [(b.id, b.input) for b in reply.content if b.type == "tool_use"] == [
        ("c1", {"a": 1}),
        ("c2", {"a": 2}),
    ]
    results: Any = [
        {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
        {
            "type": "tool_result",
            "tool_use_id": "c2",
            "content": [{"type": "text", "text": "no"}],
            "is_error": True,
        },
        {"type": "text", "text": "Go on."},
    ]
    messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
    assert ask(messages).content[0].to_dict()["text"] == "Three."
    sent = upstream.requests[-1].body
    assert sent["tools"][0]["function"] == {
        "name": "add",
        "description": "Adds.",
        "parameters": ADD["input_schema"],
    }
    assert sent["messages"][1]["tool_calls"][1]["function"] == {"name": "add", "arguments": '{"a": 2}'}
    assert sent["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
        {"role": "user", "content": "Go on."},
    ]


def test_claude_gets_what_the_client_wrote(alice: anthropic.Anthropic, behind: Behind) -> None:
    upstream = behind("anthropic", claude.reply("Hello."))
    cached = {"type": "ephemeral", "ttl": "1h"}
    body: Any = {
        "model": "anthropic",
        "max_tokens": 3000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": cached}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "Report",
                        "citations": {"enabled": True},
                        "source": {"type": "text", "media_type": "text/plain", "data": "All is well."},
                    },
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                    },
                    {"type": "text", "text": "Well?", "cache_control": cached},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Let me see.", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "hidden"},
                    {"type": "text", "text": "Let me add."},
                    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1", "is_error": True}
                ],
            },
        ],
        "tools": [
            {**ADD, "cache_control": cached, "eager_input_streaming": True},
            {"type": "bash_20250124", "name": "bash"},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "metadata": {"user_id": "someone"},
        "stop_sequences": ["END"],
    }
    more: Any = {"top_k": 5, "some_new_field": {"on": True}}
    headers = {"anthropic-beta": "interleaved-thinking-2025-05-14,context-management-2025-06-27"}
    alice.messages.create(**body, extra_body=more, extra_headers=headers)
    sent = upstream.requests[-1]
    assert sent.body == {**body, "model": "anthropic-1", "stream": True, **more}
    assert sent.headers["anthropic-beta"] == headers["anthropic-beta"]
    assert sent.headers["x-api-key"] == "sk-scripted"


def test_a_repeated_idempotency_key_gives_the_same_message(
    client_of: Any, cast: Cast, behind: Behind
) -> None:
    thinking = claude.block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm."},
        {"type": "signature_delta", "signature": "sig=="},
    )
    call = claude.tool_block(2, "toolu_1", "add", '{"a":', "1}")
    answer = [claude.start(), thinking, claude.text_block(1, "Let me add."), call, claude.end("tool_use")]
    upstream = behind("anthropic", Answer(answer))
    client: httpx.Client = client_of(cast.alice)
    client.headers["Idempotency-Key"] = "once"
    body = {"model": "anthropic", "tools": [ADD], **HELLO}
    first, again = (client.post("/v1/messages", json=body).json() for _ in range(2))
    assert first == again
    assert [block["type"] for block in first["content"]] == ["thinking", "text", "tool_use"]
    assert first["content"][0]["signature"] == "sig=="
    other = client.post("/v1/messages", json={**body, "metadata": {"user_id": "u"}})
    assert (other.status_code, other.headers["x-should-retry"]) == (409, "false")
    assert len(upstream.requests) == 1


def test_a_silent_model_is_covered_by_pings(
    client_of: Any, cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessagesConsumer, "ping_seconds", 0.05)
    waits = threading.Event()
    provider.script = Script(steps=[waits, "Hello"])
    body = {"model": "local", "stream": True, **HELLO}
    seen = []
    with client_of(cast.alice).stream("POST", "/v1/messages", json=body) as answer:
        for line in answer.iter_lines():
            seen.append(line)
            if line == "event: ping":
                waits.set()
    assert seen[0] == "event: ping"
    assert seen.count("event: message_start") == seen.count("event: message_stop") == 1
