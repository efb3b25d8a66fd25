"""Fields that a model wants back with its tool calls and engines drop: reasoning, signatures, extra content.

DeepSeek, Kimi, Gemini and Claude refuse the next call of a turn without them. They are stored with the turn,
and added to the engine's messages by the calls' ids.
"""

from collections.abc import Sequence

from gateway.calls.metered import MeteredEvent
from gateway.providers.base import Extra, JsonObject, ReasoningDelta
from gateway.providers.garbled import a_text
from gateway.providers.reasoning_details import ReturnedReasoning

STANDARD = {"index", "id", "type", "function", "custom"}  # fields of a call that every engine keeps


class ReplayedFields:
    """Collects these fields from one answer."""

    def __init__(self) -> None:
        self._reasoning = ReturnedReasoning()
        self._extras: JsonObject = {}

    def take_in(self, event: MeteredEvent) -> None:
        match event:
            case Extra("message", "extra_content", value):
                self._extras["extra_content"] = value
            case ReasoningDelta() | Extra():
                self._reasoning.take_in(event)

    def entry(self, calls: Sequence[JsonObject]) -> JsonObject | None:
        """The entry to store for an answer with these complete calls; None if there is nothing to add."""
        message = {**self._reasoning.fields(), **self._extras}
        extras = {call["id"]: extra for call in calls if (extra := _extra(call))}
        if not message and not extras:
            return None
        return {"ids": [call["id"] for call in calls], "message": message, "calls": extras}


def _extra(call: JsonObject) -> JsonObject:
    return {name: value for name, value in call.items() if name not in STANDARD}


def with_fields(messages: Sequence[JsonObject], stored: Sequence[JsonObject]) -> list[JsonObject]:
    """The messages, with the stored fields that the engine left out."""
    by_id = {call_id: entry for entry in stored for call_id in entry["ids"]}
    return [_with_fields(message, by_id) for message in messages] if by_id else list(messages)


def _with_fields(message: JsonObject, by_id: dict[str, JsonObject]) -> JsonObject:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    ids = [call.get("id") for call in calls if isinstance(call, dict)]
    entry = next((by_id[call_id] for call_id in ids if isinstance(call_id, str) and call_id in by_id), None)
    if entry is None:
        return message
    whole = [
        {**entry["calls"].get(a_text(call.get("id")), {}), **call} if isinstance(call, dict) else call
        for call in calls
    ]
    return {**entry["message"], **message, "tool_calls": whole}
