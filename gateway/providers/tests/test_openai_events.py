"""OpenAI's chunks become events, and unusual ones do no harm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProviderError
from gateway.providers.base import (
    Extra,
    Finish,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.openai_events import MOST_EXTRAS, OpenAIReader
from gateway.providers.sse import BODY, DONE, Frame

STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def read(*chunks: dict[str, Any] | str, event: str = "message") -> list[ModelEvent]:
    """All events of a reply with these chunks, or texts of frames."""
    reader = OpenAIReader("compatible")
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return [*(found for text in texts for found in reader.read(Frame(event, text))), *reader.end()]


def deltas(*found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"choices": [{"index": 0, "delta": delta}]} for delta in found]


def texts_of(events: list[ModelEvent]) -> tuple[str, str]:
    """The text and the reasoning."""
    kinds = (TextDelta, ReasoningDelta)
    text, reasoning = ("".join(e.text for e in events if isinstance(e, kind)) for kind in kinds)
    return text, reasoning


def test_a_chunk_is_read_into_events() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    delta = {"content": "Hi", "reasoning_content": "hm", "tool_calls": [call]}
    chunk = {
        "choices": [{"delta": delta, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0},
    }
    head = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert read(chunk) == [
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta([head, {"index": 0, "function": {"arguments": "{}"}}]),
        UsageReport(3, 0),
        UsageReport(3, 0),  # the last of all is repeated at the end
        Finish("length"),
    ]


def test_done_ends_the_reply() -> None:
    reader = OpenAIReader("openai")
    assert list(reader.read(Frame("message", " [DONE]\n"))) == []
    assert reader.done


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([*deltas({"content": "Hi"}), STOP, DONE], "stop"),
        ([*deltas({"content": "Hi"}), STOP], "stop"),
        ([*deltas({"content": "Hi"}), DONE], "stop"),
        ([STOP], "stop"),  # an empty reply
        ([{"choices": [{"delta": {"content": "Hi"}, "finishReason": "STOP"}]}], "stop"),
        ([{"choices": [{"delta": {}, "finish_reason": "MAX_TOKENS"}]}], "length"),
        ([{"choices": [{"delta": {}, "finish_reason": "length"}]}, STOP], "stop"),  # the last one
        ([STOP, {"choices": [{"delta": {}, "finish_reason": ""}]}], "stop"),
        ([*deltas({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]}), STOP], "tool_calls"),
        ([*deltas({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]}), DONE], "tool_calls"),
        # Nothing received marks the reply as complete.
        ([], None),
        ([DONE], None),
        (deltas({"content": "Hi"}), None),
        ([{"choices": []}, DONE], None),
        ([{}, DONE], None),
        (["null", "ping", DONE], None),
    ],
)
def test_a_reply_is_complete_by_its_reason_or_by_done(frames: list[Any], reason: str | None) -> None:
    events = read(*frames)
    assert [event.reason for event in events if isinstance(event, Finish)] == ([reason] if reason else [])


def test_an_unknown_reason_is_a_failure_after_the_text() -> None:
    chunk = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "MALFORMED_FUNCTION_CALL"}]}
    events = OpenAIReader("openai").read(Frame("message", json.dumps(chunk)))
    assert next(events) == TextDelta("Hi")
    with pytest.raises(ProviderError, match="MALFORMED_FUNCTION_CALL"):
        next(events)


@pytest.mark.parametrize("nonsense", ["{", "[]", "7", "", '"x"', "nul", "[" * 100_000])
def test_a_frame_that_cannot_be_read_is_skipped_and_counted(nonsense: str) -> None:
    reader = OpenAIReader("openai")
    assert list(reader.read(Frame("message", nonsense))) == []
    assert reader.unread == 1
    assert read(*deltas({"content": "Hi"}), nonsense, *deltas({"content": "!"}), STOP) == [
        TextDelta("Hi"),
        TextDelta("!"),
        Finish("stop"),
    ]


@pytest.mark.parametrize("harmless", ["null", "ping", " null "])
def test_a_ping_is_not_counted(harmless: str) -> None:
    reader = OpenAIReader("openai")
    assert list(reader.read(Frame("message", harmless))) == []
    assert reader.unread == 0


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": 3}, {"prompt_tokens": None, "completion_tokens": 1}, None, [1]]
)
def test_missing_usage_is_not_0(usage: object) -> None:
    assert read({"choices": [], "usage": usage}) == []


@pytest.mark.parametrize(
    "place",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {"choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
        {"choices": [{"delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]},
        {"choices": [], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
    ],
)
def test_usage_is_found_in_every_place(place: dict[str, Any]) -> None:
    assert read(place, STOP)[-2:] == [UsageReport(3, 2), Finish("stop")]


def test_the_last_report_is_the_last_even_if_zeros_follow() -> None:
    zeros = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    full = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    assert read(full, STOP, zeros)[-2:] == [UsageReport(3, 2), Finish("stop")]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "reasoning_text", "thinking", "thought"])
def test_reasoning_has_many_names(name: str) -> None:
    assert texts_of(read(*deltas({name: "hm"}, {"content": "x", name: ""}))) == ("x", "hm")


def test_reasoning_under_two_names_is_read_once() -> None:
    both = {"reasoning": "hm", "reasoning_content": "hm"}
    assert texts_of(read(*deltas(both, {"content": "x"}))) == ("x", "hm")


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "Hi"},
            ],
            "Hi",
            "hm",
        ),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}], "Hi", ""),
        ([{"type": "reasoning", "text": "hm"}], "", "hm"),
        ({"type": "text", "text": "Hi"}, "Hi", ""),
        ([{"text": "Hi"}], "Hi", ""),
        ("<think>hm</think>Hi", "Hi", "hm"),
        ([None, 7, "x"], "x", ""),
        (7, "", ""),
    ],
)
def test_content_may_be_parts_of_text_and_reasoning(content: Any, text: str, reasoning: str) -> None:
    assert texts_of(read(*deltas({"content": content}), STOP)) == (text, reasoning)


def test_a_refusal_is_separate_from_the_text() -> None:
    assert read(*deltas({"content": None, "refusal": "No."}), STOP) == [RefusalDelta("No."), Finish("stop")]


def test_only_one_choice_is_read() -> None:
    """Two in one text would be neither."""
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "X"}}]},
        {"choices": [{"index": 1, "delta": {"content": "Y"}, "finish_reason": "length"}]},
        {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]},
    ]
    assert read(*chunks) == [TextDelta("a"), TextDelta("b"), Finish("stop")]


def test_a_choice_may_be_no_list_and_have_no_index() -> None:
    assert texts_of(read({"choices": {"delta": {"content": "Hi"}}}, STOP))[0] == "Hi"


@pytest.mark.parametrize("event", ["message", BODY])
def test_a_whole_answer_in_place_of_a_stream(event: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    message = {"role": "assistant", "content": "Hi", "reasoning": "hm", "tool_calls": [call]}
    answer = {
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    events = read(answer, event=event)
    assert texts_of(events) == ("Hi", "hm")
    calls = [call for found in events if isinstance(found, ToolCallDelta) for call in found.calls]
    assert calls[-1] == {"index": 0, "function": {"arguments": '{"x": 1}'}}
    assert events[-2:] == [UsageReport(3, 2), Finish("tool_calls")]


def test_a_whole_document_without_a_reason_is_complete_and_a_delta_is_not() -> None:
    assert read({"choices": [{"message": {"content": "Hi"}}]}, event=BODY)[-1] == Finish("stop")
    assert read(*deltas({"content": "Hi"}), event=BODY) == [TextDelta("Hi")]


def test_a_message_that_repeats_the_deltas_adds_nothing() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    again = {"content": "Hi there", "reasoning": "hm", "tool_calls": [call]}
    last = {"choices": [{"delta": {}, "message": again, "finish_reason": "stop"}]}
    before = deltas({"reasoning": "hm"}, {"content": "Hi "}, {"content": "there"}, {"tool_calls": [call]})
    assert read(*before, last) == read(*before, STOP)


def test_messages_with_the_whole_text_so_far_add_only_the_new_part() -> None:
    chunks = [{"choices": [{"message": {"content": text}}]} for text in ("He", "Hello", "Hello!")]
    assert read(*chunks, STOP) == [TextDelta("He"), TextDelta("llo"), TextDelta("!"), Finish("stop")]


@pytest.mark.parametrize(
    "calls",
    [
        {"0": {"id": "a", "function": {"name": "f", "arguments": "{}"}}},
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, None, 7],
    ],
)
def test_tool_calls_need_not_be_a_list(calls: Any) -> None:
    events = read(*deltas({"tool_calls": calls}), STOP)
    pieces = [piece for event in events if isinstance(event, ToolCallDelta) for piece in event.calls]
    assert [piece.get("id") for piece in pieces] == ["a", None]


def test_the_deprecated_function_call_is_a_tool_call() -> None:
    events = read(
        *deltas({"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}),
        STOP,
    )
    pieces = [piece for event in events if isinstance(event, ToolCallDelta) for piece in event.calls]
    assert (pieces[0]["function"]["name"], [p["function"]["arguments"] for p in pieces]) == (
        "f",
        ["", "{", "}"],
    )
    assert events[-1] == Finish("tool_calls")


def test_unread_fields_are_passed_on_unchanged() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1}]}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    citation = {"type": "url_citation", "url_citation": {"url": "https://a"}}
    chunks = [
        {
            "choices": [{"delta": {"content": "Hi", "annotations": [citation]}, "logprobs": logprobs}],
            "citations": ["https://a"],
        },
        {"choices": [{"delta": {"content": "!"}, "logprobs": logprobs}], "citations": ["https://a"]},
        {"choices": [{"delta": {"images": [image], "of_next_year": 1}}], "service_tier": "flex", "new": None},
    ]
    extras = [event for event in read(*chunks, STOP) if isinstance(event, Extra)]
    assert extras == [
        Extra("message", "annotations", [citation]),
        Extra("choice", "logprobs", logprobs),
        Extra("answer", "citations", ["https://a"]),
        Extra("choice", "logprobs", logprobs),  # each token has its own
        Extra("message", "images", [image]),
        Extra("message", "of_next_year", 1),
        Extra("answer", "service_tier", "flex"),
    ]


def test_an_image_in_the_content_is_an_image() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "Look."}, image]
    assert read(*deltas({"content": content})) == [TextDelta("Look."), Extra("message", "images", [image])]


def test_a_flood_of_unknown_fields_is_bounded() -> None:
    chunk = {"choices": [{"delta": {f"x{n}": 1 for n in range(MOST_EXTRAS + 10)}}]}
    assert len(read(chunk)) == MOST_EXTRAS


@pytest.mark.parametrize(("error", "status"), [({"code": 503}, 503), ({"code": "x"}, 200), ("gone", 200)])
def test_a_reported_error_has_its_status_if_there_is_one(error: object, status: int) -> None:
    for chunk in ({"error": error}, {"choices": [{"delta": {}, "error": error, "finish_reason": "stop"}]}):
        with pytest.raises(ProviderError) as failure:
            read(chunk)
        assert failure.value.details["provider_status"] == status


def test_an_error_after_the_first_word_may_have_cost_something() -> None:
    for before, did_no_work in (([], True), (deltas({"content": "Hi"}), False)):
        with pytest.raises(ProviderError) as failure:
            read(*before, {"error": {"message": "gone"}})
        assert failure.value.did_no_work is did_no_work


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
