"""The JSON of events: on the wire, in the journal, on the relay and as the parts of a stored reply.

Clients and processes of other versions read this JSON, so names and fields never change. An event that this
version does not know is read as OtherEvent and passed on unchanged.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from gateway.engines.events import (
    ApprovalRequest,
    ApprovalResolution,
    Event,
    OtherEvent,
    Replacement,
    TextEvent,
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
from gateway.turns.events import Done, Failed, NumberedEvent, Started, TurnEvent, UsageTotal
from quotas.prices import AnsweredCall, Usage

# Events whose JSON has the fields of the class, in this order.
PLAIN_NAMES: dict[type, str] = {
    Started: "started",
    TextDelta: "delta",
    ReasoningDelta: "reasoning",
    RefusalDelta: "refusal",
    Extra: "extra",
    Answering: "answering",
    ToolCallDelta: "tool_calls",  # of a completion, whose client runs the tools itself
    ToolCall: "tool_call",
    ToolResult: "tool_result",
    ApprovalResolution: "approval_resolved",
    Failed: "error",
    Done: "done",
}
NAMES: dict[type, str] = {
    **PLAIN_NAMES,
    ApprovalRequest: "approval",
    Notice: "notice",
    Replacement: "replace",
    UsageTotal: "usage",
}
FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in PLAIN_NAMES}
PLAIN_BY_NAME: dict[str, Any] = {name: kind for kind, name in PLAIN_NAMES.items()}
TEXT_PARTS: dict[str, type[TextEvent]] = {  # stored as
    "text": TextDelta,
    "reasoning": ReasoningDelta,
    "refusal": RefusalDelta,
}


def name_of(event: TurnEvent) -> str:
    return event.name if isinstance(event, OtherEvent) else NAMES[type(event)]


def data_of(event: TurnEvent) -> JsonObject:
    match event:
        case ApprovalRequest(approval_id, call, expires_at):
            return {"approval_id": approval_id, **data_of(call), "expires_at": expires_at}
        case Notice(kind, data):
            return {"kind": kind, **data}
        case Replacement(positions):
            return {} if positions is None else {"positions": positions}
        case UsageTotal(usage, quota):
            return {**usage_data(usage), "quota": quota}
        case OtherEvent(_, data):
            return data
    return {name: getattr(event, name) for name in FIELDS[type(event)]}


def usage_data(usage: Usage) -> dict[str, Any]:
    """Tokens, and the cost in millionths of the currency; None: no price is known."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": usage.cost,
        "exactness": str(usage.exactness),
        **answered_by(usage),
    }


def answered_by(usage: Usage) -> JsonObject:
    """Who gave the last answer of a turn, and the ids of all its calls in the ledger."""
    if not usage.calls:
        return {}
    last = usage.calls[-1]
    return {"model": last.model, "provider": last.provider, "call_ids": [call.id for call in usage.calls]}


def event_of(name: str, data: JsonObject) -> TurnEvent:
    """The event; OtherEvent for an unknown name, and for other fields than this version knows."""
    try:
        event = _known_event(name, data)
    except (KeyError, TypeError):
        return OtherEvent(name, data)
    return event if data_of(event) == data else OtherEvent(name, data)


def _known_event(name: str, data: JsonObject) -> TurnEvent:
    event: TurnEvent
    match name:
        case "approval":
            call = ToolCall(data["call_id"], data["server"], data["tool"], data["arguments"])
            event = ApprovalRequest(data["approval_id"], call, data["expires_at"])
        case "notice":
            event = Notice(data["kind"], {field: value for field, value in data.items() if field != "kind"})
        case "replace":
            event = Replacement(data.get("positions"))
        case "usage":
            event = UsageTotal(_usage_of(data), data["quota"])
        case _ if name in PLAIN_BY_NAME:
            event = PLAIN_BY_NAME[name](**data)
        case _:
            event = OtherEvent(name, data)
    return event


def _usage_of(data: JsonObject) -> Usage:
    return Usage(
        data["input_tokens"],
        data["output_tokens"],
        data["exactness"],
        cached_tokens=data.get("cached_tokens", 0),
        reasoning_tokens=data.get("reasoning_tokens", 0),
        cost=data["cost"],
        calls=tuple(AnsweredCall(data["model"], data["provider"], one) for one in data.get("call_ids", ())),
    )


def part_of(event: Event) -> JsonObject:
    """The event as a part of a stored reply."""
    match event:
        case TextDelta(text):
            return {"type": "text", "text": text}
        case ReasoningDelta(text):
            return {"type": "reasoning", "text": text}
        case RefusalDelta(text):
            return {"type": "refusal", "text": text}
        case _:
            return {"type": name_of(event), **data_of(event)}


def reply_events(parts: Iterable[JsonObject]) -> tuple[Event, ...]:
    """The events of a stored reply."""
    return tuple(_event_of_part(part) for part in parts)


def _event_of_part(part: JsonObject) -> Event:
    kind = part["type"]
    if kind in TEXT_PARTS:
        return TEXT_PARTS[kind](part["text"])
    return reply_event(kind, {name: value for name, value in part.items() if name != "type"})


def reply_event(name: str, data: JsonObject) -> Event:
    """Likewise, for an event that belongs to a reply."""
    event = event_of(name, data)
    if isinstance(event, Started | Failed | UsageTotal | Done):
        return OtherEvent(name, data)
    return event


def relayed_json(numbered: NumberedEvent) -> list[Any]:
    return [numbered.id, name_of(numbered.event), data_of(numbered.event)]


def relayed_event(entry: list[Any]) -> NumberedEvent:
    position, name, data = entry
    return NumberedEvent(position, event_of(name, data))
