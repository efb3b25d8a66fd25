"""A turn's model call as a turn's events, for whatever runs one in-process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.egress.metered import metered_call
from gateway.engines.base import Event, Finished, TurnJob
from gateway.providers.base import Finish, ModelEvent, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.registry import provider_for


async def call_model(job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
    """The turn's first call, metered; ends after one Finished."""
    call = metered_call(
        turn_id=job.turn_id,
        model=job.model.slug,
        provider=provider_for(job.model),
        request=job.request,
        bounds=job.bounds,
    )
    async with aclosing(call) as events:
        async for event in events:
            translated = translate(event)
            if translated is not None:
                yield translated


def translate(event: ModelEvent) -> Event | Finished | None:
    """A model call's event as the turn's; usage is told by the ledger at the end."""
    match event:
        case TextDelta(text):
            return Event("delta", {"text": text})
        case ReasoningDelta(text):
            return Event("reasoning", {"text": text})
        case ToolCallDelta(calls):
            return Event("tool_calls", {"calls": calls})
        case Finish(reason):
            return Finished(reason)
        case UsageReport():
            return None
