"""Ends streams, sockets and running turns when their person loses access.

The notification only makes this fast: every request, every frame and every heartbeat of a turn checks access
too.
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
    """An open stream or socket of a principal; `lost` is set once access has ended."""

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
    """The items of `source` as long as the principal has access; then AccessEnded."""
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


def access_changed(payload: str) -> None:
    """Rechecks everything that the user, or everyone in the tenant, has open in this process."""
    subject_id = UUID(payload)
    tasks = _checks.get()
    task = asyncio.create_task(_recheck(subject_id))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _recheck(subject_id: UUID) -> None:
    watches = [watch.recheck() for watch in _watches.get() if watch.concerns(subject_id)]
    turns = [
        turn.recheck_access()
        for turn in runner().turns.values()
        if subject_id in {turn.job.user_id, turn.job.tenant.id}
    ]
    for outcome in await asyncio.gather(*watches, *turns, return_exceptions=True):
        if isinstance(outcome, Exception):  # rechecked at the next frame or heartbeat
            log.warning("access could not be checked", error=type(outcome).__name__)
