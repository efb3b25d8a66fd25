"""The typed events of a reply: one vocabulary from the model's provider to the client.

Engines pass on a provider's own events unchanged and add those that only they know. The JSON that clients get
and that is stored is written and read in `gateway/turns/event_json.py` alone.
"""

from dataclasses import dataclass
from typing import Any

from gateway.providers.base import (
    Answering,
    Extra,
    Finish,
    JsonObject,
    Notice,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

HISTORY_RESTORED = "history_restored"  # the kind of a Notice: earlier messages came from our own copy


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool; `arguments` is any JSON, or the model's text where it is not JSON."""

    call_id: str
    server: str | None
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The output of a tool, errors included; `duration_ms` None: not measured."""

    call_id: str
    output: str
    is_error: bool
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A person must allow the call before `expires_at`, an ISO 8601 time."""

    approval_id: str
    call: ToolCall
    expires_at: str


@dataclass(frozen=True, slots=True)
class ApprovalResolution:
    """The decision: `allowed`, `refused` or `expired`."""

    approval_id: str
    call_id: str
    decision: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """Withdraws all of the reply so far; `positions` is how many that were, once the transcript knows."""

    positions: int | None = None


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event that another version of this program stored or relayed; passed on as it is."""

    name: str
    data: JsonObject


TextEvent = TextDelta | ReasoningDelta | RefusalDelta
Event = (
    TextDelta
    | ReasoningDelta
    | RefusalDelta
    | Extra
    | Answering
    | ToolCallDelta
    | ToolCall
    | ToolResult
    | ApprovalRequest
    | ApprovalResolution
    | Notice
    | Replacement
    | OtherEvent
)
EngineEvent = Event | Finish
