"""The components of a turn's events, as a client sees them after it has parsed the stream's framing."""

from config.openapi_schemas import (
    BOOLEAN,
    INTEGER,
    TEXT,
    TIME,
    UUID,
    Schema,
    described,
    listed,
    nullable,
    one_of,
    record,
    ref,
)
from gateway.models import Turn
from quotas.models import UsageRecord

FRAMING = (
    "Server-sent events. Each is the lines `id:`, `event:` and `data:`, and a blank line; `data` is one line"
    " of JSON. An event is described here as an object of these three fields, with `data` parsed. Lines that"
    " begin with `:` are comments."
)
NAMED_EVENTS = "TurnEvent"
TEXT_DATA = record({"text": TEXT})
CALL: dict[str, Schema] = {
    "call_id": TEXT,
    "server": described(nullable(TEXT), "The MCP server's name"),
    "tool": TEXT,
    "arguments": {"description": "Any JSON; a text if what the model wrote is not JSON"},
}
FINISH_REASON = one_of(
    *(reason for reason in Turn.FinishReason.values if reason != Turn.FinishReason.TOOL_CALLS)
)
USAGE: dict[str, Schema] = {
    "input_tokens": INTEGER,
    "output_tokens": INTEGER,
    "total_tokens": INTEGER,
    "cached_tokens": described(INTEGER, "Part of the input, from the provider's cache"),
    "reasoning_tokens": described(INTEGER, "Part of the output"),
    "cost": described(nullable(INTEGER), "Millionths of the currency; null if the model has no price"),
    "exactness": one_of(*UsageRecord.Exactness.values),
}
ANSWERED_BY: dict[str, Schema] = {
    "model": described(TEXT, "The model that gave the last answer: the one asked for, or a fallback"),
    "provider": TEXT,
    "call_ids": described(listed(TEXT), "The turn's model calls in the ledger"),
}
DATA: dict[str, Schema] = {
    "started": record({"conversation_id": nullable(UUID), "turn_id": UUID, "model": TEXT}),
    "delta": TEXT_DATA,
    "reasoning": TEXT_DATA,
    "refusal": TEXT_DATA,
    "extra": record(
        {
            "place": described(
                TEXT, "The object of the provider's answer that had it: `message`, `choice`, `answer`"
            ),
            "name": described(TEXT, "Such as `annotations` or `images`"),
            "value": {"description": "Any JSON"},
        }
    ),
    "answering": record({"model": TEXT, "provider": TEXT, "call_id": TEXT}),
    "tool_call": record(CALL),
    "tool_result": record(
        {
            "call_id": TEXT,
            "output": TEXT,
            "is_error": BOOLEAN,
            "duration_ms": nullable(INTEGER),
        }
    ),
    "approval": record({"approval_id": UUID, **CALL, "expires_at": TIME}),
    "approval_resolved": record(
        {"approval_id": UUID, "call_id": TEXT, "decision": one_of("allowed", "refused", "expired")}
    ),
    "notice": {
        **record(
            {"kind": described(TEXT, "`retry`, `fallback`, `history_restored`"), "text": TEXT},
            {
                "attempt": INTEGER,
                "wait_seconds": {"type": "number"},
                "provider_status": nullable(INTEGER),
                "from": described(TEXT, "With `fallback`: the model that failed"),
                "to": described(TEXT, "With `fallback`: the model that answers"),
            },
        ),
        "additionalProperties": True,
    },
    "replace": record({}, {"positions": INTEGER}),
    "usage": record({**USAGE, "quota": nullable(ref("Figures"))}, ANSWERED_BY),
    "error": record({"error": ref("ErrorDetail")}),
    "done": record({"finish_reason": FINISH_REASON}),
    "moved": record({"turn_id": nullable(UUID), "text": TEXT}),
}
WITHOUT_ID = ("moved", "error")  # an error that ends the stream without being an event of the turn has none


def component_name(event: str) -> str:
    """`ToolCallEvent` for `tool_call`."""
    return "".join(word.capitalize() for word in event.split("_")) + "Event"


def _component(event: str) -> Schema:
    number = described(INTEGER, "Send the last one as `Last-Event-ID` to resume")
    needed: dict[str, Schema] = {"event": one_of(event), "data": ref(f"{component_name(event)}Data")}
    return record(needed, {"id": number}) if event in WITHOUT_ID else record({"id": number, **needed})


COMPONENTS: dict[str, Schema] = {
    **{f"{component_name(event)}Data": data for event, data in DATA.items()},
    **{component_name(event): _component(event) for event in DATA},
    NAMED_EVENTS: {
        "oneOf": [ref(component_name(event)) for event in DATA],
        "discriminator": {
            "propertyName": "event",
            "mapping": {event: ref(component_name(event))["$ref"] for event in DATA},
        },
        "description": "One event of a turn. Ignore events that you do not know.",
    },
}
