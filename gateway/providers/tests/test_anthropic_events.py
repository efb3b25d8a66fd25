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
from gateway.providers.base import Finish, ModelEvent, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.sse import Frame, FrameParser
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
EVENTS = [
    UsageReport(1125, 1, 1000),
    ReasoningDelta("Hm, é"),
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
    UsageReport(1125, 89, 1000),
    Finish("tool_calls"),
]


def read(*chunks: bytes) -> list[ModelEvent]:
    parser, reader = FrameParser(), AnthropicReader("anthropic")
    return [event for chunk in chunks for frame in parser.feed(chunk) for event in reader.read(frame)]


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
    ("stop_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something new", "stop"),
    ],
)
def test_the_stop_reason_is_translated(stop_reason: str, reason: str) -> None:
    assert read(end(stop_reason))[-1] == Finish(reason)


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
    assert early.value.details == late.value.details == {"provider": "anthropic", "provider_status": status}
    assert (early.value.did_no_work, late.value.did_no_work) == (True, False)
    assert early.value.transient
    assert "sk-secret" not in str(early.value.as_dict())


def test_unknown_events_and_blocks_are_skipped() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    pieces = block(0, search, {"type": "input_json_delta", "partial_json": "{}"}, {"type": "new_delta"})
    assert read(frame("new_event", x=1), pieces, text_block(1, "Hi")) == [TextDelta("Hi")]


@pytest.mark.parametrize("nonsense", ["{", "[]", "7", ""])
def test_invalid_frames_are_a_provider_error(nonsense: str) -> None:
    with pytest.raises(ProviderError, match="invalid response"):
        list(AnthropicReader("anthropic").read(Frame("ping", nonsense)))


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
