"""OpenAI's chunks become events, and unusual ones do no harm."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProviderError
from gateway.providers.base import Finish, ModelEvent, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.garbled import NO_COUNT
from gateway.providers.openai_events import OpenAIReader, usage_of
from gateway.providers.sse import Frame
from kit.tests.cpu_time import cpu_at_most


def read(*chunks: dict[str, Any]) -> list[ModelEvent]:
    reader = OpenAIReader("compatible")
    return [event for chunk in chunks for event in reader.read(Frame("message", json.dumps(chunk)))]


def calls_of(*pieces: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The index of each piece of a tool call, and its id."""
    events = read(*({"choices": [{"delta": {"tool_calls": piece}}]} for piece in pieces))
    calls = [call for event in events if isinstance(event, ToolCallDelta) for call in event.calls]
    return [(call["index"], call.get("id", "")) for call in calls]


def test_a_chunk_is_read_into_events() -> None:
    delta = {"content": "Hi", "reasoning_content": "hm", "tool_calls": [{"index": 0}]}
    chunk = {
        "choices": [{"delta": delta, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0},
    }
    assert read(chunk) == [
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta([{"index": 0, "function": {}}]),
        Finish("length"),
        UsageReport(3, 0),
    ]


def test_done_ends_the_reply() -> None:
    reader = OpenAIReader("openai")
    assert list(reader.read(Frame("message", "[DONE]"))) == []
    assert reader.done


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": 3}, {"prompt_tokens": None, "completion_tokens": 1}, None, [1]]
)
def test_missing_usage_is_not_0(usage: object) -> None:
    assert read({"choices": [], "usage": usage}) == []


@pytest.mark.parametrize("count", [True, -3, "12", 0.5, {}, [7], float("nan"), float("inf")])
def test_an_invalid_count_is_negative(count: object) -> None:
    """So that it can be flagged, unlike a missing count."""
    assert usage_of({"prompt_tokens": count, "completion_tokens": 5}) == UsageReport(NO_COUNT, 5)
    assert usage_of({"prompt_tokens": 5, "completion_tokens": count}) == UsageReport(5, NO_COUNT)


def test_a_whole_number_with_a_fraction_of_0_is_a_count() -> None:
    assert usage_of({"prompt_tokens": 7.0, "completion_tokens": 5}) == UsageReport(7, 5)


def test_thousands_of_tool_calls_are_read_quickly() -> None:
    pieces = [{"id": f"call_{n}", "function": {"name": "f"}} for n in range(50_000)]
    with cpu_at_most(2, time.thread_time):
        assert calls_of(pieces)[-1] == (49_999, "call_49999")


@pytest.mark.parametrize(
    ("details", "report"),
    [
        ({}, UsageReport(10, 9)),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, UsageReport(10, 9)),
        ({"prompt_tokens_details": {"cached_tokens": 99}}, UsageReport(10, 9, 10)),
        (
            {"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 19},
            UsageReport(10, 9, 0, 5),
        ),
        (
            {"completion_tokens_details": {"reasoning_tokens": 94}, "total_tokens": 113},
            UsageReport(10, 103, 0, 94),
        ),
    ],
)
def test_input_includes_the_cached_and_output_the_reasoning(details: Any, report: UsageReport) -> None:
    """The last case is xAI's, which counts reasoning separately from the completion."""
    assert usage_of({"prompt_tokens": 10, "completion_tokens": 9, **details}) == report


@pytest.mark.parametrize(
    "odd", [{"index": "x"}, {"function": "f"}, {"function": {"name": 5, "arguments": None}}, {"id": 7}]
)
def test_odd_pieces_of_tool_calls_become_valid_ones(odd: dict[str, object]) -> None:
    (event,) = read({"choices": [{"delta": {"tool_calls": [odd]}}]})
    assert event == ToolCallDelta([{"index": 0, "function": {}}])


def test_tool_calls_without_an_index_are_separate() -> None:
    assert calls_of([{"id": "a"}, {"id": "b"}], [{}], [{"id": "a"}]) == [
        (0, "a"),
        (1, "b"),
        (1, ""),
        (0, "a"),
    ]


def test_tool_calls_that_all_have_index_0_are_separate() -> None:
    def whole(call_id: str) -> dict[str, Any]:
        return {"index": 0, "id": call_id, "function": {"name": "f", "arguments": "{}"}}

    pieces = [[whole("a")], [whole("b")], [{"index": 0}], [{"index": 1, "id": "c"}]]
    assert calls_of(*pieces) == [(0, "a"), (1, "b"), (1, ""), (2, "c")]


def test_an_id_that_changes_without_a_name_is_the_same_call() -> None:
    first = {"index": 0, "id": "a", "function": {"name": "f"}}
    assert calls_of([first], [{"index": 0, "id": "b"}], [first]) == [(0, "a"), (0, "b"), (0, "a")]


def test_an_empty_reasoning_is_ignored() -> None:
    assert read({"choices": [{"delta": {"content": "x", "reasoning": ""}}]}) == [TextDelta("x")]


def test_parts_and_refusals_are_text_too() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}]
    assert read({"choices": [{"delta": {"content": parts}}]}) == [TextDelta("Hi")]
    assert read({"choices": [{"delta": {"content": None, "refusal": "No."}}]}) == [TextDelta("No.")]


@pytest.mark.parametrize(("error", "status"), [({"code": 503}, 503), ({"code": "x"}, 200), ("gone", 200)])
def test_a_reported_error_has_its_status_if_there_is_one(error: object, status: int) -> None:
    with pytest.raises(ProviderError) as failure:
        read({"error": error})
    assert failure.value.details["provider_status"] == status


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["delta", "content", "tool_calls", "function", "index", "id"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage"]), json_values))
def test_any_json_chunk_is_read_without_a_crash(chunk: dict[str, object]) -> None:
    read(chunk)
