"""The direct engine: our own history and the metered call in-process, with nothing to install."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.engines.base import Event, Finished, TurnJob
from gateway.engines.model_calls import call_model
from gateway.providers.local import LocalProvider


class DirectEngine:
    name = "direct"

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """One model call: a chat offers its model no tools yet."""
        async with aclosing(call_model(job)) as events:
            async for event in events:
                yield event

    async def health(self) -> None:
        await LocalProvider().health()
