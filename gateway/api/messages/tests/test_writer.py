"""A reply's events become content blocks, one after the other, in a stream and whole."""

import json
from typing import Any
from uuid import uuid4

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.api.messages.writer import MessageWriter
from gateway.engines.events import ToolCall, ToolResult
from gateway.providers.base import (
    Answering,
    Extra,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.turns.events import Done, Started, TurnEvent, UsageTotal
from quotas.prices import Usage

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
MCP = ("mcp_tool_use", "mcp_tool_result")  # only the package's beta types have them


def ended(*events: TurnEvent, reason: str = "stop", provider: str = "compatible") -> list[TurnEvent]:
    usage = Usage(10, 5, cached_tokens=4, reasoning_tokens=2)
    begin = [Started(None, str(uuid4()), "gpt"), Answering("gpt", provider, str(uuid4()))]
    return [*begin, *events, UsageTotal(usage, None), Done(reason)]


def streamed(events: list[TurnEvent]) -> list[dict[str, Any]]:
    writer = MessageWriter("msg_1", "gpt")
    sent = [writer.begin(), *(writer.write(event) for event in events), writer.end()]
    lines = b"".join(sent).decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def whole(events: list[TurnEvent]) -> dict[str, Any]:
    """After checking that a stream has the same."""
    message = MessageWriter("msg_1", "gpt").whole(events)
    if not any(block["type"] in MCP for block in message["content"]):
        Message.model_validate(message)
        for event in streamed(events):
            EVENT.validate_python(event)
    position, starts = None, []
    for event in streamed(events):
        match event["type"]:
            case "content_block_start":
                assert position is None, "two blocks are open"
                position = event["index"]
                starts.append(event["content_block"]["type"])
            case "content_block_stop":
                assert event["index"] == position
                position = None
    assert position is None
    assert starts == [block["type"] for block in message["content"]]
    return message


def call(index: int, arguments: str, **head: Any) -> ToolCallDelta:
    name = {"name": head.pop("name")} if "name" in head else {}
    return ToolCallDelta([{"index": index, **head, "function": {**name, "arguments": arguments}}])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_limit", "pause_turn"),
        ("quota_exceeded", "max_tokens"),
    ],
)
def test_each_end_has_anthropics_reason(reason: str, expected: str) -> None:
    assert whole(ended(TextDelta("Hi"), reason=reason))["stop_reason"] == expected


def test_an_empty_reply_is_a_message() -> None:
    assert whole(ended())["content"] == []
    assert [event["type"] for event in streamed(ended())] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_counts_are_anthropics() -> None:
    usage = whole(ended(TextDelta("Hi")))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (6, 4, 5)
    assert usage["output_tokens_details"] == {"thinking_tokens": 2}


def test_what_claude_writes_to_its_cache_is_counted_separately() -> None:
    written = [Extra("answer", "cache_creation_input_tokens", tokens) for tokens in (1, 2)]
    usage = whole(ended(TextDelta("Hi"), *written, provider="anthropic"))["usage"]
    assert (usage["input_tokens"], usage["cache_creation_input_tokens"]) == (3, 3)


def test_a_call_makes_the_stop_reason() -> None:
    message = whole(ended(call(0, "", id="c", name="f", type="function"), call(0, "{}")))
    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]


def test_calls_that_take_turns_become_blocks_in_order() -> None:
    events = [
        call(0, "", id="a", name="f"),
        call(1, "", id="b", name="g"),
        call(1, '{"x":'),
        call(0, '{"y":'),
        call(1, "1}"),
        TextDelta("Wait."),
        call(0, "2}"),
    ]
    content = whole(ended(*events, reason="tool_calls"))["content"]
    assert [(block["type"], block.get("input"), block.get("text")) for block in content] == [
        ("tool_use", {"y": 2}, None),
        ("tool_use", {"x": 1}, None),
        ("text", None, "Wait."),
    ]


def test_a_complete_call_is_sent_when_the_next_begins() -> None:
    events = ended(call(0, "{}", id="a", name="f"), call(1, "", id="b", name="g"), call(1, "{}"))
    writer = MessageWriter("msg_1", "gpt")
    sent = [writer.write(event) for event in events]
    assert b"content_block_stop" in sent[3]
    assert b'"name":"g"' in sent[3]


def test_arguments_that_are_no_object_are_shown() -> None:
    content = whole(ended(call(0, "[1", id="a", name="f")))["content"]
    assert content[0]["input"] == {"unreadable_arguments": "[1"}


def test_a_refusal_is_text_with_its_own_reason() -> None:
    message = whole(ended(RefusalDelta("No.")))
    assert (message["content"][0]["text"], message["stop_reason"]) == ("No.", "refusal")


def test_claudes_citations_and_reasons_are_its_own() -> None:
    place = {
        "type": "char_location",
        "cited_text": "Well.",
        "document_index": 0,
        "document_title": None,
        "start_char_index": 0,
        "end_char_index": 5,
        "file_id": None,
    }
    cited = Extra("message", "annotations", [{"type": "citation", "citation": place}])
    stopped = Extra("choice", "stop_sequence", "END")
    message = whole(ended(TextDelta("All is well."), cited, TextDelta("So."), stopped, provider="anthropic"))
    assert [block["text"] for block in message["content"]] == ["All is well.", "So."]
    assert message["content"][0]["citations"] == [place]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    full = Extra("choice", "native_finish_reason", "model_context_window_exceeded")
    reason = whole(ended(full, reason="length", provider="anthropic"))["stop_reason"]
    assert reason == "model_context_window_exceeded"


def test_what_anthropic_has_no_place_for_is_in_the_message() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    events = ended(
        TextDelta("Here."), Extra("message", "images", [image]), Extra("answer", "citations", ["https://a"])
    )
    message = whole(events)
    assert (message["images"], message["citations"]) == ([image], ["https://a"])
    assert streamed(events)[-2]["delta"]["images"] == [image]


def test_pieces_of_one_field_are_joined_and_the_events_stay_as_they_are() -> None:
    tokens = [Extra("choice", "logprobs", {"content": [{"token": token}]}) for token in "ab"]
    for _ in range(2):
        message = whole(ended(TextDelta("ab"), *tokens))
        assert message["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_another_providers_details_follow_its_thinking() -> None:
    pieces = [{"type": "reasoning.text", "text": text, "index": 0, "format": "x"} for text in ("Let ", "me.")]
    events = [
        ReasoningDelta("Let me."),
        *(Extra("message", "reasoning_details", [piece]) for piece in pieces),
    ]
    content = whole(ended(*events, TextDelta("Yes.")))["content"]
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "text"]


def test_tools_that_ran_here_are_shown_with_their_results() -> None:
    events = [
        TextDelta("Let me see."),
        ToolCall("c1", "calculator", "add", {"a": 1}),
        ToolResult("c1", "3", is_error=False, duration_ms=1),
        TextDelta("3."),
    ]
    message = whole(ended(*events))
    assert message["content"][1:3] == [
        {"type": "mcp_tool_use", "id": "c1", "name": "add", "server_name": "calculator", "input": {"a": 1}},
        {
            "type": "mcp_tool_result",
            "tool_use_id": "c1",
            "is_error": False,
            "content": [{"type": "text", "text": "3"}],
        },
    ]
    assert message["stop_reason"] == "end_turn"


def test_nothing_follows_an_error() -> None:
    events = [*ended(TextDelta("Half"))[:-1], Done("error")]
    assert streamed(events)[-1]["type"] == "content_block_delta"
