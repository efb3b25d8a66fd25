"""Runs admitted turns in tasks of their own, detached from every client's socket."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from accounts.principals import may_chat
from gateway.calls.channels import notify_left
from gateway.engines.base import Engine, Finished, TurnJob
from gateway.engines.registry import engine_named
from gateway.errors import ProviderTimeout
from gateway.models import Turn
from gateway.turns.closing import Ending, end_turn, write_progress
from gateway.turns.heartbeat import Heartbeat
from gateway.turns.journal import Journal
from gateway.turns.relay import send_events
from gateway.turns.transcript import NumberedEvent, Transcript
from kit import request_origin
from kit.errors import (
    AtCapacity,
    DatabaseUnavailable,
    DomainError,
    InternalError,
    ShuttingDown,
    TurnInterrupted,
)
from kit.patience import patiently
from kit.per_loop import PerLoop
from kit.postgresql.failures import database_failure
from kit.shutdown_state import stopping
from kit.tenancy import TenantRef, in_public, in_tenant
from quotas.errors import QuotaExceeded, TurnLimit
from quotas.holds import is_settled
from quotas.prices import Usage
from quotas.reservations import hand_over

log = structlog.get_logger(__name__)
Reason = Turn.FinishReason
ABANDONED = "abandoned"  # no finish reason: the turn goes on elsewhere
# The whole reply is written each time, so a long one is written once it has grown by this share, or pauses.
REWRITTEN_SHARE = 32
OURS = (ProviderTimeout, InternalError, DatabaseUnavailable)  # ends that the engine does not know of
CLOSE_SECONDS = 5.0  # that interrupted turns have to be closed at a stop
SHARE = 3  # of the free places: a team may run so many times as many turns
TEAM_FULL = (
    "Your team is using its whole share of this server's capacity. "
    "Try again when one of its replies has finished."
)
SETTLE_CHECKS, SETTLE_PAUSE = 100, 0.05  # how often and how far apart, in seconds


class RunningTurn:
    """One turn from admission to its end: the engine's task, the transcript, and those who follow it."""

    def __init__(self, job: TurnJob, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        self.transcript = Transcript(
            started_data(job.turn_id, job.conversation_id, job.model.slug), list(job.told)
        )
        self.request_id = request_origin.current().request_id
        self.events = list(self.transcript.after(0))
        self.ending: Ending | None = None
        self._lost_lease = False
        self.is_left = False  # to another process: there will be no ending here
        self._journal = Journal(job.turn_id, list(job.told)) if job.keeps_reply else None
        self._written = self._seen = self.transcript.position
        self._news = asyncio.Event()
        self._producer: asyncio.Task[str] | None = None
        self._stop_reason = ""

    async def run(self) -> None:
        """Ends with the turn closed, whatever happened."""
        self._producer = asyncio.create_task(self._produce())
        if self._stop_reason:  # stopped before it began
            self._producer.cancel()
        finish, error = await self._outcome(self._producer)
        if finish == ABANDONED:
            await self._leave_parts()
            self.is_left = True
            self._news.set()
            return
        if self.engine.outlives_us:
            cut_off = finish == Reason.CANCELLED or isinstance(error, OURS)
            await self._settled(cut_off=cut_off)
        ending = await self._close(finish, error)
        self.events.extend(self.transcript.ending(0, ending.events(), lagging=False))
        self.ending = ending
        self._news.set()

    def stop(self, reason: str) -> None:
        """Cancels the engine's task once; the turn then closes with `reason`.

        A turn that goes on without us is not interrupted: it is left to whichever process adopts it.
        """
        if self._stop_reason:
            return
        if reason == Reason.INTERRUPTED and self.engine.outlives_us:
            reason = ABANDONED
        self._stop_reason = reason
        if self._producer is not None:
            self._producer.cancel()

    async def follow(self, after: int) -> AsyncGenerator[list[NumberedEvent], None]:
        """Batches of events past the id `after`, until the last."""
        sent = 0
        while True:
            batch, sent = self.events[sent:], len(self.events)
            fresh = [event.past(after) for event in batch if event.id > after]
            if fresh:
                yield fresh
            if sent == len(self.events):
                if self.ending is not None or self.is_left:
                    return
                await self._news.wait()

    async def _produce(self) -> str:
        reason: str = Reason.STOP
        async with asyncio.timeout(settings.TURN_MAX_SECONDS), aclosing(self.engine.run(self.job)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    reason = event.reason
                else:
                    if self._journal is not None:
                        self._journal.append(event)
                    self._publish(self.transcript.append(event))
        return reason

    async def _outcome(  # noqa: PLR0911 - one ending a line
        self, producer: asyncio.Task[str]
    ) -> tuple[str, DomainError | None]:
        try:
            return await producer, None
        except asyncio.CancelledError:
            interrupted = self._stop_reason not in {Reason.CANCELLED, ABANDONED}
            return self._stop_reason or Reason.INTERRUPTED, TurnInterrupted() if interrupted else None
        except QuotaExceeded as exc:
            return Reason.QUOTA_EXCEEDED, exc
        except TurnLimit:
            return Reason.TOOL_LIMIT, None
        except DomainError as exc:
            return Reason.ERROR, exc
        except TimeoutError:
            text = f"The reply took longer than {settings.TURN_MAX_SECONDS} seconds."
            return Reason.ERROR, ProviderTimeout(text, provider=self.job.model.provider)
        except Exception as exc:
            log.exception("turn failed", turn_id=str(self.job.turn_id))
            return Reason.ERROR, database_failure(exc) or InternalError()

    async def _leave_parts(self) -> None:
        """Whoever adopts the turn goes on from what is written: nobody was told more than that."""
        if self._lost_lease:
            return
        try:
            parts = list(self.transcript.parts)
            await in_tenant(self.job.tenant, write_progress, turn_id=self.job.turn_id, parts=parts)
            if self._journal is not None:
                self._journal.end()
        except Exception:  # LibreChat tells it again
            log.exception("reply was not written down", turn_id=str(self.job.turn_id))

    async def _settled(self, *, cut_off: bool) -> None:
        """Ends a turn that we cut off at its engine too, and waits a moment for the bill of its calls."""
        try:
            if cut_off:
                await self.engine.stop(self.job)
            for _ in range(SETTLE_CHECKS):
                if await in_public(is_settled, self.job.turn_id):
                    return
                await asyncio.sleep(SETTLE_PAUSE)
        except Exception:  # closing writes off what is still out
            log.exception("turn could not be seen to settle", turn_id=str(self.job.turn_id))

    async def _close(self, finish: str, error: DomainError | None) -> Ending:
        """Tried until the database takes it: the heartbeat renews the lease meanwhile."""
        told = error.as_dict(self.request_id) if error else None
        try:
            ending = await patiently(
                in_tenant,
                self.job.tenant,
                end_turn,
                turn_id=self.job.turn_id,
                parts=self.transcript.parts if self.job.keeps_reply else [],
                finish_reason=finish,
                error=told,
            )
        except Exception as exc:  # the lease runs out, and the turn is recovered by what was written down
            log.exception("turn could not be closed", turn_id=str(self.job.turn_id))
            fault = (database_failure(exc) or InternalError()).as_dict(self.request_id)
            return Ending(finish_reason=Reason.ERROR, usage=Usage(0, 0, "estimated"), quota=None, error=fault)
        if self._journal is not None:
            self._journal.end()
        return ending

    async def write_down(self) -> None:
        """Stores the reply so far where that is due, and checks whether a stop was requested."""
        position = self.transcript.position
        is_due = position - self._written > self._written // REWRITTEN_SHARE or position == self._seen
        parts = None
        if self.job.keeps_reply and position != self._written and is_due:
            parts = list(self.transcript.parts)
        self._seen = position
        try:
            goes_on = await in_tenant(self.job.tenant, write_progress, turn_id=self.job.turn_id, parts=parts)
        except Exception as exc:
            if database_failure(exc) is None:
                log.exception("turn could not be written down", turn_id=str(self.job.turn_id))
            return
        if parts is not None:
            self._written = position
        if not goes_on and self.ending is None:
            self.stop(Reason.CANCELLED)

    async def check_right(self) -> None:
        """Stops the turn when its person may no longer chat here."""
        if not await in_public(may_chat, self.job.user_id, self.job.workspace_id):
            self.lose_right()

    def lose_right(self) -> None:
        self.stop(Reason.CANCELLED)

    def lose_lease(self) -> None:
        """The turn was closed, or another process has taken it over."""
        self._lost_lease = True
        self.stop(Reason.INTERRUPTED)

    def _publish(self, event: NumberedEvent) -> None:
        self.events.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()


class TurnRunner:
    """The turns that run in this process's event loop."""

    def __init__(self) -> None:
        self.turns: dict[UUID, RunningTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heartbeat = Heartbeat(self.turns)
        self._admitting: Counter[UUID] = Counter()  # by team
        self._news = asyncio.Event()  # a turn, or an admission, has ended
        self._is_over = False  # the grace of a stop: a turn that begins now is interrupted

    @contextmanager
    def slot(self, tenant: TenantRef) -> Iterator[None]:
        """A place for a turn of the team that is admitted; AtCapacity where there is none.

        A team may begin a turn while it runs fewer than SHARE times the free places: three quarters of all
        where it is alone, fewer where others run turns too, and never the last ones. ShuttingDown at a stop.
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
            self._admitting += Counter()  # keeps only those above zero
            self._news.set()

    def start(self, job: TurnJob, engine: Engine | None = None) -> RunningTurn:
        """Runs the turn by `engine`, else by the one that its job names."""
        turn = RunningTurn(job, engine or engine_named(job.engine))
        self.turns[job.turn_id] = turn
        self._heartbeat.begin()
        task = self._spawn(turn.run())
        task.add_done_callback(lambda _: self._forget(turn))
        self._spawn(send_events(job.tenant, job.turn_id, turn.follow(0)))
        if self._is_over:
            turn.stop(Reason.INTERRUPTED)
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

    def stop(self, turn_id: UUID, reason: str = Reason.CANCELLED) -> None:
        turn = self.turns.get(turn_id)
        if turn is not None:
            turn.stop(reason)

    async def drain(self, seconds: float) -> None:
        """Takes no more turns, lets the running ones go on for `seconds` at most, and interrupts the rest.

        Those that go on without us are left to another process.
        """
        stopping().begun.set()
        if not self._is_over:
            await self._wait_while(lambda: bool(self.turns or self._admitting), seconds)
        self._is_over = True
        left = list(self.turns.values())
        for turn in left:
            turn.stop(Reason.INTERRUPTED)
        await self._wait_while(lambda: bool(self._tasks or self._admitting), CLOSE_SECONDS)
        for turn in left:
            if turn.is_left:
                await in_public(leave_turn, turn.job.turn_id)

    async def _wait_while(self, is_busy: Callable[[], bool], seconds: float) -> None:
        """Returns when no longer busy, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while is_busy():
                    self._news.clear()
                    await self._news.wait()


def leave_turn(turn_id: UUID) -> None:
    hand_over(turn_id=turn_id)
    notify_left(turn_id)


def started_data(turn_id: UUID, conversation_id: UUID | None, model: str) -> dict[str, Any]:
    return {
        "conversation_id": str(conversation_id) if conversation_id else None,
        "turn_id": str(turn_id),
        "model": model,
    }


_runners = PerLoop(TurnRunner)


def runner() -> TurnRunner:
    """The running loop's own."""
    return _runners.get()
