"""The direct engine: our own history and the metered call in-process, with nothing to install."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.egress.metered import metered_call
from gateway.engines.base import Event, Finished, TurnJob
from gateway.providers.base import Finish, ModelEvent, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.local import LocalProvider
from gateway.providers.registry import provider_for


class DirectEngine:
    name = "direct"

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
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

    async def health(self) -> None:
        await LocalProvider().health()


def translate(event: ModelEvent) -> Event | Finished | None:
    """A model call's event as the turn's; usage is told by the ledger at the end."""
    match event:
        case TextDelta(text):
            return Event("delta", {"text": text})
        case ReasoningDelta(text):
            return Event("reasoning", {"text": text})
        case Finish(reason):
            return Finished(reason)
        case UsageReport() | ToolCallDelta():  # a chat offers no tools yet, so nobody can call one
            return None
