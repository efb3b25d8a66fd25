"""Ends what somebody has open when they lose the right to it: streams, sockets, running turns.

The notice only brings haste: every request, every frame and every heartbeat of a turn asks by itself.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog

from accounts.authentication import still_stands
from accounts.principals import Principal
from gateway.errors import AccessEnded
from gateway.turns.runner import runner
from kit.per_loop import PerLoop
from kit.tenancy import in_public

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Watch:
    """Somebody's open stream or socket; `lost` is set when they may have it no longer."""

    principal: Principal
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def concerns(self, subject_id: UUID) -> bool:
        return subject_id in {self.principal.user_id, self.principal.tenant.id}

    async def recheck(self) -> None:
        if not await in_public(still_stands, self.principal):
            self.lost.set()


_watches: PerLoop[set[Watch]] = PerLoop(set)
_checks: PerLoop[set[asyncio.Task[None]]] = PerLoop(set)


@contextmanager
def watching(principal: Principal) -> Iterator[Watch]:
    watch = Watch(principal)
    _watches.get().add(watch)
    try:
        yield watch
    finally:
        _watches.get().discard(watch)


async def until_lost(principal: Principal, source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What `source` tells, for as long as the principal may hear it; then AccessEnded."""
    with watching(principal) as watch:
        lost = asyncio.ensure_future(watch.lost.wait())
        pending = asyncio.ensure_future(anext(source, None))
        try:
            while True:
                await asyncio.wait({lost, pending}, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    raise AccessEnded
                item = pending.result()
                if item is None:
                    return
                yield item
                pending = asyncio.ensure_future(anext(source, None))
        finally:
            lost.cancel()
            pending.cancel()
            await asyncio.gather(lost, pending, return_exceptions=True)


def access_changed(told: str) -> None:
    """Looks again at all that the user, or everybody in the tenant, has open in this process."""
    subject_id = UUID(told)
    tasks = _checks.get()
    task = asyncio.create_task(_recheck(subject_id))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _recheck(subject_id: UUID) -> None:
    watches = [watch.recheck() for watch in _watches.get() if watch.concerns(subject_id)]
    turns = [
        turn.check_right()
        for turn in runner().turns.values()
        if subject_id in {turn.job.user_id, turn.job.tenant.id}
    ]
    for outcome in await asyncio.gather(*watches, *turns, return_exceptions=True):
        if isinstance(outcome, Exception):  # asked again at the next frame or heartbeat
            log.warning("a right could not be looked up", error=type(outcome).__name__)
