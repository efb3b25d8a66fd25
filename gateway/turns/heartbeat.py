"""One heartbeat for all turns of an event loop: leases first, then access, stop requests and progress.

Leases have a connection of their own. Everything else uses the shared threads in the background, so no lease
waits for it, however long it takes.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from django.conf import settings

from accounts.principals import who_may_chat
from gateway.engines.base import TurnJob
from kit.postgresql.own_connection import FAILURES
from kit.tenancy import in_public
from quotas.leases import renew_leases

log = structlog.get_logger(__name__)
HOLDER = uuid4()  # this process, as leases name it


class BeatingTurn(Protocol):
    """A turn that runs in this process."""

    job: TurnJob

    def lose_lease(self) -> None: ...

    def lose_access(self) -> None: ...

    async def write_progress(self) -> None:
        """Stores the reply so far, and checks whether a stop was requested."""


class Heartbeat:
    """Beats as long as there are turns."""

    def __init__(self, turns: Mapping[UUID, BeatingTurn]) -> None:
        self._turns = turns
        self._task: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._writing: dict[UUID, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Must be called for each turn that starts."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._beat_forever())

    async def _beat_forever(self) -> None:
        while self._turns:
            await asyncio.sleep(min(settings.TURN_PROGRESS_SECONDS, settings.TURN_LEASE_SECONDS / 3))
            await self._renew()
            if self._checking is None or self._checking.done():
                self._checking = asyncio.create_task(self._check_access())
            for turn_id, turn in self._turns.items():
                if turn_id not in self._writing:
                    self._writing[turn_id] = asyncio.create_task(self._write(turn_id, turn))

    async def _write(self, turn_id: UUID, turn: BeatingTurn) -> None:
        try:
            await turn.write_progress()
        finally:
            del self._writing[turn_id]

    async def _renew(self) -> None:
        turns = dict(self._turns)
        try:
            lost = await renew_leases(turns, holder=HOLDER, lease_seconds=settings.TURN_LEASE_SECONDS)
        except FAILURES as failure:  # a later renewal still works, as long as no process has closed the turns
            log.warning("leases were not renewed", turns=len(turns), error=type(failure).__name__)
            return
        except Exception:  # a fault of ours must not end the heartbeat of all turns
            log.exception("leases were not renewed", turns=len(turns))
            return
        for turn_id in lost:
            turns[turn_id].lose_lease()

    async def _check_access(self) -> None:
        turns = list(self._turns.values())
        try:
            allowed = await in_public(who_may_chat, {_member(turn) for turn in turns})
        except Exception as failure:  # repeated at the next beat
            log.warning("access could not be checked", error=type(failure).__name__)
            return
        for turn in turns:
            if _member(turn) not in allowed:
                turn.lose_access()


def _member(turn: BeatingTurn) -> tuple[UUID, UUID]:
    """User and workspace."""
    return turn.job.user_id, turn.job.workspace_id
