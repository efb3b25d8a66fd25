"""The JSON of events stays as clients, journals and processes of other versions read it."""

import json

import pytest

from gateway.engines.events import (
    ApprovalRequest,
    ApprovalResolution,
    OtherEvent,
    Replacement,
    ToolCall,
    ToolResult,
)
from gateway.providers.base import (
    Answering,
    Extra,
    JsonObject,
    Notice,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.turns.event_json import (
    NAMES,
    data_of,
    event_of,
    name_of,
    part_of,
    relayed_event,
    relayed_json,
    reply_events,
)
from gateway.turns.events import Done, Failed, NumberedEvent, Started, TurnEvent, UsageTotal
from quotas.prices import AnsweredCall, Usage

CALL = ToolCall("c1", None, "add", {"a": 2})
CALL_JSON = '"call_id": "c1", "server": null, "tool": "add", "arguments": {"a": 2}'
QUOTA = {"level": "tenant"}
CALLS = (AnsweredCall("local", "openai", "k1"), AnsweredCall("local", "openai", "k2"))
EVENTS: list[tuple[TurnEvent, str, str]] = [
    (Started("c", "t", "local"), "started", '{"conversation_id": "c", "turn_id": "t", "model": "local"}'),
    (TextDelta("Hi"), "delta", '{"text": "Hi"}'),
    (ReasoningDelta("Hm"), "reasoning", '{"text": "Hm"}'),
    (RefusalDelta("No"), "refusal", '{"text": "No"}'),
    (
        Extra("message", "images", [1]),
        "extra",
        '{"place": "message", "name": "images", "value": [1]}',
    ),
    (
        Answering("local", "openai", "k1"),
        "answering",
        '{"model": "local", "provider": "openai", "call_id": "k1"}',
    ),
    (ToolCallDelta([{"index": 0}]), "tool_calls", '{"calls": [{"index": 0}]}'),
    (CALL, "tool_call", f"{{{CALL_JSON}}}"),
    (
        ToolResult("c1", "42", is_error=False, duration_ms=7),
        "tool_result",
        '{"call_id": "c1", "output": "42", "is_error": false, "duration_ms": 7}',
    ),
    (
        ApprovalRequest("a1", CALL, "2026-01-01T00:00:00+00:00"),
        "approval",
        f'{{"approval_id": "a1", {CALL_JSON}, "expires_at": "2026-01-01T00:00:00+00:00"}}',
    ),
    (
        ApprovalResolution("a1", "c1", "allowed"),
        "approval_resolved",
        '{"approval_id": "a1", "call_id": "c1", "decision": "allowed"}',
    ),
    (Notice("retry", {"text": "…"}), "notice", '{"kind": "retry", "text": "\\u2026"}'),
    (Replacement(3), "replace", '{"positions": 3}'),
    (Replacement(), "replace", "{}"),
    (Failed({"code": "x"}), "error", '{"error": {"code": "x"}}'),
    (
        UsageTotal(Usage(2, 3, "exact", cost=5), QUOTA),
        "usage",
        '{"input_tokens": 2, "output_tokens": 3, "total_tokens": 5, "cached_tokens": 0, '
        '"reasoning_tokens": 0, "cost": 5, "exactness": "exact", "quota": {"level": "tenant"}}',
    ),
    (
        UsageTotal(Usage(9, 3, "exact", cached_tokens=7, reasoning_tokens=2, cost=None, calls=CALLS), None),
        "usage",
        '{"input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "cached_tokens": 7, '
        '"reasoning_tokens": 2, "cost": null, "exactness": "exact", "model": "local", "provider": "openai", '
        '"call_ids": ["k1", "k2"], "quota": null}',
    ),
    (Done("stop"), "done", '{"finish_reason": "stop"}'),
]


@pytest.mark.parametrize(("event", "name", "text"), EVENTS)
def test_every_event_has_its_json(event: TurnEvent, name: str, text: str) -> None:
    assert (name_of(event), json.dumps(data_of(event))) == (name, text)
    assert event_of(name, json.loads(text)) == event


def test_every_kind_of_event_is_tested() -> None:
    assert {type(event) for event, _, _ in EVENTS} == set(NAMES)


def test_a_relayed_event_is_read_by_another_process() -> None:
    numbered = NumberedEvent(7, CALL)
    assert relayed_json(numbered) == [7, "tool_call", data_of(CALL)]
    assert relayed_event(relayed_json(numbered)) == numbered


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("memory", {"id": "m1"}),  # of a newer version
        ("tool_result", {"call_id": "c1", "output": "", "is_error": False, "duration_ms": 1, "cost": 2}),
        ("notice", {"text": "retrying"}),  # of an older version
        (
            "usage",  # of an older version
            {
                "input_tokens": 2,
                "output_tokens": 3,
                "total_tokens": 5,
                "cost": 5,
                "exactness": "exact",
                "quota": None,
            },
        ),
        ("done", {}),
    ],
)
def test_events_of_other_versions_pass_unchanged(name: str, data: JsonObject) -> None:
    event = event_of(name, data)
    assert event == OtherEvent(name, data)
    assert (name_of(event), data_of(event)) == (name, data)


def test_a_stored_reply_is_read_as_it_was_written() -> None:
    parts = [
        {"type": "reasoning", "text": "Hm"},
        {"type": "text", "text": "Hi"},
        {"type": "refusal", "text": "No"},
        {"type": "extra", "place": "message", "name": "annotations", "value": [{"type": "url_citation"}]},
        {"type": "answering", "model": "local", "provider": "openai", "call_id": "k1"},
        {"type": "tool_call", **data_of(CALL)},
        {"type": "replace", "positions": 4},
        {"type": "memory", "id": "m1"},
    ]
    assert [part_of(event) for event in reply_events(parts)] == parts
