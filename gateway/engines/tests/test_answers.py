"""The direct engine sends a model's reasoning back to it, and passes on the client's calls."""

from typing import Any

import pytest

from gateway.engines.direct.engine import _Answer
from gateway.providers.base import Extra, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta


def head(index: int, name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": ""}
    return {"index": index, "id": f"c{index}", "type": "function", "function": function}


def more(index: int, text: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": text}}


def answer_of(*events: Any, client_tools: frozenset[str] = frozenset()) -> tuple[_Answer, list[Any]]:
    """The answer, and the events that are passed on."""
    answer = _Answer(client_tools)
    passed_on = [event for event in map(answer.take_in, events) if event is not None]
    return answer, passed_on


def test_reasoning_and_its_signature_go_back_with_the_calls() -> None:
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "EqQB", "index": 0}
    signed = {**head(0, "add"), "extra_content": {"google": {"thought_signature": "c2ln"}}}
    answer, passed_on = answer_of(
        ReasoningDelta("H"),
        ReasoningDelta("m"),
        Extra("message", "reasoning_details", [detail]),
        TextDelta("Let me."),
        ToolCallDelta([signed]),
        ToolCallDelta([more(0, '{"x":'), more(0, " 1}")]),
        Finish("tool_calls"),
    )
    function = {"name": "add", "arguments": '{"x": 1}'}
    assert answer.message == {
        "role": "assistant",
        "content": "Let me.",
        "reasoning_content": "Hm",
        "reasoning_details": [detail],
        "tool_calls": [
            {"id": "c0", "type": "function", "function": function, "extra_content": signed["extra_content"]}
        ],
    }
    assert not any(isinstance(event, ToolCallDelta | Finish) for event in passed_on)


def test_the_providers_own_fields_are_sent_back_unless_people_see_them() -> None:
    signature = {"google": {"thought_signature": "c2ln"}}
    answer, passed_on = answer_of(
        Extra("message", "extra_content", signature),
        Extra("message", "annotations", [{"type": "url_citation"}]),
        Extra("choice", "logprobs", {}),
        Extra("answer", "citations", ["https://a"]),
        ToolCallDelta([head(0, "add")]),
        Finish("tool_calls"),
    )
    assert answer.message["extra_content"] == signature
    assert not {"annotations", "logprobs", "citations"} & answer.message.keys()
    assert [event.name for event in passed_on] == ["extra_content", "annotations", "logprobs", "citations"]


def test_an_answer_without_reasoning_has_no_empty_fields() -> None:
    answer, _ = answer_of(ToolCallDelta([head(0, "add")]), Finish("tool_calls"))
    assert answer.message.keys() == {"role", "content", "tool_calls"}
    assert answer.message["content"] is None


@pytest.mark.parametrize(("reason", "calls"), [("tool_calls", 1), ("stop", 1), ("length", 0)])
def test_half_a_call_is_not_run(reason: str, calls: int) -> None:
    answer, _ = answer_of(ToolCallDelta([head(0, "add"), more(0, '{"x"')]), Finish(reason))
    assert len(answer.calls) == calls


def test_a_refusal_is_the_text_of_the_answer() -> None:
    answer, passed_on = answer_of(RefusalDelta("No."), Finish("stop"))
    assert answer.message["content"] == "No."
    assert passed_on == [RefusalDelta("No.")]


def test_the_clients_calls_are_passed_on_and_numbered_from_0() -> None:
    answer, passed_on = answer_of(
        ToolCallDelta([head(0, "ours"), more(0, "{}")]),
        ToolCallDelta([head(1, "theirs"), more(1, '{"x"')]),
        ToolCallDelta([more(1, ": 1}"), head(2, "ours"), more(2, "{}")]),
        ToolCallDelta([head(3, "theirs"), more(3, "{}")]),
        Finish("tool_calls"),
        client_tools=frozenset({"theirs"}),
    )
    pieces = [piece for event in passed_on for piece in event.calls]
    assert [(piece["index"], piece.get("id")) for piece in pieces] == [
        (0, "c1"),
        (0, None),
        (0, None),
        (1, "c3"),
        (1, None),
    ]
    assert [call["id"] for call in answer.calls] == ["c0", "c2"]
    assert answer.calls_client
