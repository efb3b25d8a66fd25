"""Reasoning, signatures and extra content go back to the model with the calls that they belong to."""

from typing import Any

import pytest

from gateway.egress.replayed_fields import ReplayedFields, with_fields
from gateway.providers.base import Extra, ReasoningDelta, TextDelta

Message = dict[str, Any]
SIGNATURE = {"google": {"thought_signature": "c2ln"}}


def call(call_id: str, **more: Any) -> Message:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def asked(*calls: Any, **more: Any) -> Message:
    return {"role": "assistant", "content": "", "tool_calls": list(calls), **more}


def entry_of(*events: Any, calls: list[Message]) -> Message | None:
    fields = ReplayedFields()
    for event in events:
        fields.take_in(event)
    return fields.entry(calls)


def detail(**more: Any) -> Extra:
    piece = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1", **more}
    return Extra("message", "reasoning_details", [piece])


def test_an_answer_without_any_of_them_stores_nothing() -> None:
    events = [TextDelta("Hi"), Extra("message", "annotations", [{}]), Extra("choice", "logprobs", {})]
    assert entry_of(*events, calls=[call("a")]) is None


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([ReasoningDelta("Hm, "), ReasoningDelta("yes.")], {"reasoning_content": "Hm, yes."}),
        ([Extra("message", "extra_content", SIGNATURE)], {"extra_content": SIGNATURE}),
        (
            [detail(text="Hm, "), detail(text="yes.", signature="EqQB")],
            {
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "index": 0,
                        "format": "anthropic-claude-v1",
                        "text": "Hm, yes.",
                        "signature": "EqQB",
                    }
                ]
            },
        ),
    ],
)
def test_reasoning_is_sent_back_with_the_call(events: list[Any], message: Message) -> None:
    entry = entry_of(*events, calls=[call("a"), call("b")])
    assert entry is not None
    said = asked(call("a"), call("b"))
    assert with_fields([said], [entry]) == [{**said, **message}]
    one = asked(call("b"))  # the engine may have dropped the other call
    assert with_fields([one], [entry]) == [{**one, **message}]


def test_extra_content_is_sent_back_in_its_own_call() -> None:
    entry = entry_of(calls=[call("a", extra_content=SIGNATURE), call("b")])
    assert entry is not None
    assert with_fields([asked(call("a"), call("b"))], [entry]) == [
        asked(call("a", extra_content=SIGNATURE), call("b"))
    ]


def test_a_call_with_an_invalid_id_is_unchanged_next_to_a_known_one() -> None:
    entry = entry_of(ReasoningDelta("Hm"), calls=[call("a")])
    assert entry is not None
    sent = asked(call("a"), {"id": []}, 7)
    assert with_fields([sent], [entry]) == [{**sent, "reasoning_content": "Hm"}]


def test_fields_that_the_engine_sent_are_not_replaced() -> None:
    entry = entry_of(ReasoningDelta("ours"), calls=[call("a", extra_content=SIGNATURE)])
    assert entry is not None
    sent = asked(call("a", extra_content={"own": 1}), reasoning_content="own")
    assert with_fields([sent], [entry]) == [sent]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        asked(call("unknown")),
        asked(None, 7, {"id": []}, {}),
        {"role": "assistant", "tool_calls": "nonsense"},
    ],
)
def test_other_messages_are_unchanged(message: Message) -> None:
    entry = entry_of(ReasoningDelta("Hm"), calls=[call("a")])
    assert entry is not None
    assert with_fields([message], [entry]) == [message]
    assert with_fields([message], []) == [message]


def test_each_answer_has_its_own_reasoning() -> None:
    entries = [entry_of(ReasoningDelta(f"about {name}"), calls=[call(name)]) for name in "ab"]
    stored = [entry for entry in entries if entry is not None]
    found = with_fields([asked(call("a")), asked(call("b"))], stored)
    assert [message["reasoning_content"] for message in found] == ["about a", "about b"]
