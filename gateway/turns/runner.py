"""Runs admitted turns in tasks of their own, detached from every client's socket."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from django.conf import settings

from gateway.calls.channels import notify_left
from gateway.engines.base import Engine, TurnJob
from gateway.engines.registry import engine_named
from gateway.turns.heartbeat import Heartbeat
from gateway.turns.relay import send_events
from gateway.turns.running_turn import RunningTurn, StopCause
from kit.errors import AtCapacity, ShuttingDown
from kit.per_loop import PerLoop
from kit.shutdown_state import stopping
from kit.tenancy import TenantRef, in_public
from quotas.reservations import hand_over

CLOSE_SECONDS = 5.0  # for interrupted turns to be closed at a stop
SHARE = 3  # a team may run this many times as many turns as there are free slots
TEAM_FULL = (
    "Your team is using its whole share of this server's capacity. "
    "Try again when one of its replies has finished."
)


class TurnRunner:
    """The turns that run in this process's event loop."""

    def __init__(self) -> None:
        self.turns: dict[UUID, RunningTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heartbeat = Heartbeat(self.turns)
        self._admitting: Counter[UUID] = Counter()  # by team
        self._news = asyncio.Event()  # a turn, or an admission, has ended
        self._is_over = False  # the grace period of a stop has passed: a turn that begins now is interrupted

    @contextmanager
    def slot(self, tenant: TenantRef) -> Iterator[None]:
        """Reserves a slot while a turn of the team is admitted; AtCapacity if there is none.

        A team may start a turn while it runs fewer than SHARE times the free slots: three quarters of all if
        it is alone, fewer if others run turns too, and never the last ones. ShuttingDown at a stop.
        """
        if stopping().begun.is_set():
            raise ShuttingDown
        free = settings.MAX_RUNNING_TURNS - len(self.turns) - self._admitting.total()
        own = sum(turn.job.tenant.id == tenant.id for turn in self.turns.values())
        if free <= 0:
            raise AtCapacity(scope="server")
        if own + self._admitting[tenant.id] >= SHARE * free:
            raise AtCapacity(TEAM_FULL, scope="team")
        self._admitting[tenant.id] += 1
        try:
            yield
        finally:
            self._admitting[tenant.id] -= 1
            self._admitting += Counter()  # drops zeros
            self._news.set()

    def start(self, job: TurnJob, engine: Engine | None = None) -> RunningTurn:
        """Runs the turn on `engine`, else on the one that its job names."""
        turn = RunningTurn(job, engine or engine_named(job.engine))
        self.turns[job.turn_id] = turn
        self._heartbeat.begin()
        task = self._spawn(turn.run())
        task.add_done_callback(lambda _: self._forget(turn))
        self._spawn(send_events(job.tenant, job.turn_id, turn.follow(0)))
        if self._is_over:
            turn.stop(StopCause.INTERRUPTED)
        return turn

    def _forget(self, turn: RunningTurn) -> None:
        if self.turns.get(turn.job.turn_id) is turn:
            del self.turns[turn.job.turn_id]
        self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()

    def stop(self, turn_id: UUID, cause: StopCause = StopCause.CANCELLED) -> None:
        """Stops the turn if it runs in this event loop."""
        turn = self.turns.get(turn_id)
        if turn is not None:
            turn.stop(cause)

    async def drain(self, seconds: float) -> None:
        """Accepts no more turns, lets the running ones continue for at most `seconds`, interrupts the rest.

        Turns that their engine continues are left to another process.
        """
        stopping().begun.set()
        if not self._is_over:
            await self._wait_while(lambda: bool(self.turns or self._admitting), seconds)
        self._is_over = True
        left = list(self.turns.values())
        for turn in left:
            turn.stop(StopCause.INTERRUPTED)
        await self._wait_while(lambda: bool(self._tasks or self._admitting), CLOSE_SECONDS)
        for turn in left:
            if turn.is_left:
                await in_public(leave_turn, turn.job.turn_id)

    async def _wait_while(self, is_busy: Callable[[], bool], seconds: float) -> None:
        """Returns when no longer busy, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while is_busy():
                    self._news.clear()
                    await self._news.wait()


def leave_turn(turn_id: UUID) -> None:
    hand_over(turn_id=turn_id)
    notify_left(turn_id)


_runners = PerLoop(TurnRunner)


def runner() -> TurnRunner:
    """The running loop's."""
    return _runners.get()
