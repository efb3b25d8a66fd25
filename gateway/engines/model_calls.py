"""A turn's model calls as a turn's events, for whatever runs one in-process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.calls.bounds import Bounds
from gateway.calls.images import filled
from gateway.calls.metered import Held, MeteredEvent, metered_call
from gateway.engines.base import Event, Finished, TurnJob
from gateway.providers.base import (
    Finish,
    JsonObject,
    ModelRequest,
    Notice,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Unread,
    UsageReport,
)


async def call_model(
    job: TurnJob, request: ModelRequest | None = None, bounds: Bounds | None = None
) -> AsyncGenerator[Event | Finished, None]:
    """One metered call: the turn's first, or a later `request`; ends after one Finished.

    Tool calls come as the pieces they were streamed in, in an event `tool_calls`.
    """
    call = metered_call(
        tenant=job.tenant,
        turn_id=job.turn_id,
        models=job.models,
        request=await filled(job.tenant, job.conversation_id, request or job.request),
        bounds=bounds if request else job.bounds,
    )
    async with aclosing(call) as events:
        async for event in events:
            translated = translate(event)
            if translated is not None:
                yield translated


def translate(event: MeteredEvent) -> Event | Finished | None:
    """A model call's event as the turn's; usage is told by the ledger at the end."""
    match event:
        case TextDelta(text):
            return Event("delta", {"text": text})
        case ReasoningDelta(text):
            return Event("reasoning", {"text": text})
        case ToolCallDelta(calls):
            return Event("tool_calls", {"calls": calls})
        case Notice(kind, data):
            return Event("notice", {"kind": kind, "text": _words(kind, data), **data})
        case Finish(reason):
            return Finished(reason)
        case UsageReport() | Held() | Unread():
            return None


def _words(kind: str, data: JsonObject) -> str:
    """A notice for people."""
    if kind == "fallback":
        return f"{data['from']} is not responding. {data['to']} answers instead."
    return "The model's provider is not responding. Trying again."
