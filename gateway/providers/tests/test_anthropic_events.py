"""Anthropic's frames become the same events however the network splits their bytes."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProviderError
from gateway.providers.anthropic_events import AnthropicReader
from gateway.providers.base import (
    Extra,
    Finish,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.sse import BODY, Frame, FrameParser
from gateway.providers.tests.scripted_anthropic import block, end, error, frame, start, text_block, tool_block

THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Hm, é"},
    {"type": "signature_delta", "signature": "EqQB"},
)
STREAM = b"".join(
    [
        start(cache_creation_input_tokens=100, cache_read_input_tokens=1000),
        frame("ping"),
        THINKING,
        text_block(1, "Let me ", "look \U0001f600."),
        tool_block(2, "toolu_1", "add", "", '{"x"', ": 1}"),
        tool_block(3, "toolu_2", "now", ""),
        end("tool_use", 89),
    ]
)
SIGNED = {
    "type": "reasoning.text",
    "text": "Hm, é",
    "signature": "EqQB",
    "format": "anthropic-claude-v1",
    "index": 0,
}
EVENTS = [
    UsageReport(1125, 1, 1000, 0, 100),
    ReasoningDelta("Hm, é"),
    Extra("message", "reasoning_details", [SIGNED]),
    TextDelta("Let me "),
    TextDelta("look \U0001f600."),
    ToolCallDelta(
        [{"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "add", "arguments": ""}}]
    ),
    ToolCallDelta([{"index": 0, "function": {"arguments": '{"x"'}}]),
    ToolCallDelta([{"index": 0, "function": {"arguments": ": 1}"}}]),
    ToolCallDelta(
        [{"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": ""}}]
    ),
    ToolCallDelta([{"index": 1, "function": {"arguments": "{}"}}]),
    UsageReport(1125, 89, 1000, 0, 100),
    Extra("answer", "cache_creation_input_tokens", 100),
    Finish("tool_calls"),
]


def read(*chunks: bytes) -> list[ModelEvent]:
    parser, reader = FrameParser(), AnthropicReader("anthropic")
    events = [event for chunk in chunks for frame in parser.feed(chunk) for event in reader.read(frame)]
    return [*events, *(event for frame in parser.end() for event in reader.read(frame)), *reader.end()]


def cut(stream: bytes, positions: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(positions), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=80))
def test_any_split_gives_the_same_events(positions: list[int]) -> None:
    assert read(*cut(STREAM, positions)) == EVENTS


def test_message_stop_ends_the_reply() -> None:
    reader = AnthropicReader("anthropic")
    list(reader.read(Frame("message_stop", "{}")))  # also if only the event's name has its type
    assert reader.done


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([start(), text_block(0, "Hi"), end()], "stop"),
        ([start(), frame("message_delta", delta={"stop_reason": "end_turn"})], "stop"),
        ([start(), text_block(0, "Hi"), frame("message_stop")], "stop"),  # no reason
        ([start(), tool_block(0, "a", "f", "{}"), frame("message_stop")], "tool_calls"),
        ([start(), tool_block(0, "a", "f", "{}"), end("end_turn")], "tool_calls"),
        # Nothing received marks the reply as complete.
        ([start(), text_block(0, "Hi")], None),
        ([frame("message_stop")], None),
        ([], None),
    ],
)
def test_a_reply_is_complete_by_its_reason_or_by_its_stop(frames: list[bytes], reason: str | None) -> None:
    finishes = [event.reason for event in read(*frames) if isinstance(event, Finish)]
    assert finishes == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "length"),  # the reply is not complete
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_the_stop_reason_is_translated(stop_reason: str, reason: str) -> None:
    assert read(end(stop_reason))[-1] == Finish(reason)


def test_an_unknown_stop_reason_is_a_failure() -> None:
    with pytest.raises(ProviderError, match="something new"):
        read(start(), text_block(0, "Hi"), end("something new"))


def test_counts_of_0_or_none_do_not_replace_others() -> None:
    last = end(written=40, input_tokens=0, cache_read_input_tokens=None)
    assert read(start(cache_read_input_tokens=10), last)[-2] == UsageReport(35, 40, 10)


@pytest.mark.parametrize("count", ["x", -1, 0.5, [1], True])
def test_an_invalid_count_is_negative(count: object) -> None:
    assert read(start(), end(written=40, cache_read_input_tokens=count))[-2].input_tokens < 0  # type: ignore[union-attr]


def test_the_last_counts_apply_and_include_thinking() -> None:
    last = end(written=40, input_tokens=30, output_tokens_details={"thinking_tokens": 25})
    assert read(start(), last)[-2] == UsageReport(30, 40, 0, 25)


def test_missing_counts_are_not_0() -> None:
    begun = frame("message_start", message={"usage": {"input_tokens": None}})
    assert read(begun, end()) == [Finish("stop")]


def test_a_tools_input_may_come_with_its_start() -> None:
    whole = {"type": "tool_use", "id": "a", "name": "add", "input": {"x": "é"}}
    assert read(block(0, whole))[-1] == ToolCallDelta([{"index": 0, "function": {"arguments": '{"x": "é"}'}}])


@pytest.mark.parametrize(
    ("kind", "status"),
    [("overloaded_error", 529), ("api_error", 500), ("rate_limit_error", 429), ("something_new", 500)],
)
def test_an_error_before_the_message_costs_nothing(kind: str, status: int) -> None:
    with pytest.raises(ProviderError) as early:
        read(error(kind))
    with pytest.raises(ProviderError) as late:
        read(start(), error(kind))
    assert (
        early.value.details
        == late.value.details
        == {
            "provider": "anthropic",
            "provider_status": status,
            "provider_message": "Overloaded, says [removed]",
            "provider_code": kind,
        }
    )
    assert (early.value.did_no_work, late.value.did_no_work) == (True, False)
    assert early.value.transient
    assert "sk-secret" not in str(early.value.as_dict())


def test_unknown_events_and_blocks_are_skipped() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    pieces = block(0, search, {"type": "input_json_delta", "partial_json": "{}"}, {"type": "new_delta"})
    assert read(frame("new_event", x=1), pieces, text_block(1, "Hi")) == [TextDelta("Hi")]


def test_redacted_thinking_is_preserved_for_claude() -> None:
    detail = {"type": "reasoning.encrypted", "data": "EmwK", "format": "anthropic-claude-v1", "index": 0}
    assert read(block(0, {"type": "redacted_thinking", "data": "EmwK"})) == [
        Extra("message", "reasoning_details", [detail])
    ]


def test_thinking_without_a_signature_is_only_shown() -> None:
    """Claude refuses it."""
    thought = block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "Hm"})
    assert read(thought) == [ReasoningDelta("Hm")]


def test_citations_are_annotations() -> None:
    web = {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "x"}
    page = {"type": "page_location", "document_index": 0, "cited_text": "x"}
    pieces = block(
        0,
        {"type": "text", "text": ""},
        *({"type": "citations_delta", "citation": citation} for citation in (web, page)),
    )
    assert read(pieces) == [
        Extra(
            "message",
            "annotations",
            [{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}, "citation": web}],
        ),
        Extra("message", "annotations", [{"type": "citation", "citation": page}]),
    ]


def test_a_whole_message_in_place_of_a_stream() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm, é", "signature": "EqQB"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "a", "name": "add", "input": {"x": 1}},
    ]
    usage = {"input_tokens": 25, "output_tokens": 9}
    message = {"type": "message", "content": content, "stop_reason": "tool_use", "usage": usage}
    for indent in (None, 2):
        assert read(json.dumps(message, indent=indent).encode()) == [
            ReasoningDelta("Hm, é"),
            Extra("message", "reasoning_details", [SIGNED]),
            TextDelta("Hi"),
            ToolCallDelta(
                [{"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": ""}}]
            ),
            ToolCallDelta([{"index": 0, "function": {"arguments": '{"x": 1}'}}]),
            UsageReport(25, 9),
            Finish("tool_calls"),
        ]


def test_a_call_without_an_id_gets_one() -> None:
    calls = [
        piece["id"]
        for event in read(
            block(0, {"type": "tool_use", "name": "f"}), block(1, {"type": "tool_use", "name": "f"})
        )
        if isinstance(event, ToolCallDelta)
        for piece in event.calls
        if "id" in piece
    ]
    assert len(set(calls)) == 2
    assert all(calls)


def test_a_call_whose_block_never_stops_has_its_arguments() -> None:
    begun = frame("content_block_start", index=0, content_block={"type": "tool_use", "id": "a", "name": "f"})
    assert read(start(), begun, end("tool_use"))[-2:] == [
        ToolCallDelta([{"index": 0, "function": {"arguments": "{}"}}]),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "overloaded_error", "message": "busy"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    ],
)
def test_an_error_in_place_of_a_stream_is_one(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as failure:
        list(AnthropicReader("anthropic").read(Frame(BODY, json.dumps(body))))
    assert failure.value.details["provider_message"] == "busy"
    assert failure.value.transient


@pytest.mark.parametrize("nonsense", ["{", "[]", "7", "", "[" * 100_000])
def test_a_frame_that_cannot_be_read_is_skipped_and_counted(nonsense: str) -> None:
    reader = AnthropicReader("anthropic")
    assert list(reader.read(Frame("content_block_delta", nonsense))) == []
    assert reader.unread == 1
    bad = f"event: content_block_delta\ndata: {nonsense}\n\n".encode()
    assert TextDelta("Hi") in read(start(), bad, text_block(0, "Hi"), end())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "usage", "input", "partial_json"]), inner)
    ),
    max_leaves=8,
)
kinds = st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta"])
fields = st.sampled_from(["index", "delta", "content_block", "message", "usage"])


@given(kinds, st.dictionaries(fields, json_values))
def test_any_json_is_read_without_a_crash(kind: str, data: dict[str, Any]) -> None:
    reader = AnthropicReader("anthropic")
    list(reader.read(Frame(kind, json.dumps(data))))
    list(reader.read(Frame(kind, json.dumps({**data, "delta": {"type": "text_delta", "text": "x"}}))))
