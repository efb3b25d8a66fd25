"""One turn while it runs: the engine's task, the transcript, and the clients that follow it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

import structlog
from django.conf import settings

from accounts.audit.refusals import record_refusal
from accounts.principals import may_chat
from gateway.calls.token_count import Exactness
from gateway.conversations.reply_images import ReplyImages
from gateway.engines.base import Engine, TurnJob
from gateway.engines.events import Event
from gateway.errors import ProviderError, ProviderTimeout
from gateway.models import Turn
from gateway.providers.base import Extra, Finish
from gateway.turns.closing import Ending, end_turn, write_progress
from gateway.turns.events import NumberedEvent, Started
from gateway.turns.journal import Journal
from gateway.turns.transcript import Transcript
from kit import request_origin
from kit.database_retry import patiently
from kit.errors import DatabaseUnavailable, DomainError, InternalError, TurnInterrupted
from kit.postgresql.failures import database_failure
from kit.tenancy import in_public, in_tenant
from quotas.errors import QuotaExceeded, TurnLimit
from quotas.holds import is_settled
from quotas.prices import Usage

log = structlog.get_logger(__name__)
Reason = Turn.FinishReason
# Each write stores the whole reply, so a long one is written once it has grown by this share, or pauses.
REWRITTEN_SHARE = 32
UNKNOWN_TO_ENGINE = (ProviderTimeout, InternalError, DatabaseUnavailable)  # ends that only we know of
LONGEST_REASON = 500  # characters in the audit
SETTLE_CHECKS, SETTLE_PAUSE = 100, 0.05  # how often and how far apart, in seconds


class StopCause(Enum):
    """Why a running turn is stopped."""

    CANCELLED = "a person stopped it, or lost the right to it"
    INTERRUPTED = "this process stops, or lost the turn's lease"
    HANDED_OVER = "this process stops, and another one takes the turn over"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the engine's task ended. `finish_reason` None: the turn continues in another process."""

    finish_reason: str | None
    error: DomainError | None = None


class RunningTurn:
    """One turn from admission to its end."""

    def __init__(self, job: TurnJob, engine: Engine) -> None:
        self.job = job
        self.engine = engine
        started = Started(
            conversation_id=str(job.conversation_id) if job.conversation_id else None,
            turn_id=str(job.turn_id),
            model=job.model.slug,
        )
        self.transcript = Transcript(started, job.reply_so_far)
        self.request_id = request_origin.current().request_id
        self.events = list(self.transcript.after(0))
        self.ending: Ending | None = None
        self._lost_lease = False
        self.is_left = False  # to another process: there will be no ending in this one
        self._journal = Journal(job.turn_id, self.transcript.parts) if job.stores_reply else None
        self._written = self._seen = self.transcript.position
        self._news = asyncio.Event()
        self._images = _images_of(job)
        self._producer: asyncio.Task[str] | None = None
        self._stop_cause: StopCause | None = None

    async def run(self) -> None:
        """Always ends with the turn closed, unless it is left to another process."""
        self._producer = asyncio.create_task(self._produce())
        if self._stop_cause:  # stopped before it began
            self._producer.cancel()
        outcome = await self._outcome(self._producer)
        if outcome.finish_reason is None:
            await self._store_for_takeover()
            self.is_left = True
            self._news.set()
            return
        if self.engine.outlives_process:
            was_cut_off = outcome.finish_reason == Reason.CANCELLED or isinstance(
                outcome.error, UNKNOWN_TO_ENGINE
            )
            await self._wait_until_settled(stop_engine=was_cut_off)
        if isinstance(outcome.error, ProviderError):
            await self._report_to_managers(outcome.error)
        ending = await self._close(outcome.finish_reason, outcome.error)
        self.events.extend(self.transcript.ending(0, ending.events(), lagging=False))
        self.ending = ending
        self._news.set()

    def stop(self, cause: StopCause) -> None:
        """Cancels the engine's task once; the first cause decides the finish reason.

        A turn that its engine continues is not interrupted but left to the process that takes it over.
        """
        if self._stop_cause:
            return
        if cause is StopCause.INTERRUPTED and self.engine.outlives_process:
            cause = StopCause.HANDED_OVER
        self._stop_cause = cause
        if self._producer is not None:
            self._producer.cancel()

    async def follow(self, after: int) -> AsyncGenerator[list[NumberedEvent], None]:
        """Batches of events after the id `after`, until the last."""
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
                if isinstance(event, Finish):
                    reason = event.reason
                else:
                    await self._add(event)
        return reason

    async def _add(self, event: Event) -> None:
        """Stores images of a chat's reply first: the reply refers to them, and live clients get them too."""
        live: Event = event
        if isinstance(event, Extra) and self._images is not None:
            event, live = await self._images.store(event)
        if self._journal is not None:
            self._journal.append(event)
        numbered = self.transcript.append(event)
        self._publish(NumberedEvent(numbered.id, live) if live is not event else numbered)

    async def _outcome(  # noqa: PLR0911 - one ending a line
        self, producer: asyncio.Task[str]
    ) -> Outcome:
        try:
            return Outcome(await producer)
        except asyncio.CancelledError:
            return self._outcome_of_stop()
        except QuotaExceeded as exc:
            return Outcome(Reason.QUOTA_EXCEEDED, exc)
        except TurnLimit:
            return Outcome(Reason.TOOL_LIMIT)
        except DomainError as exc:
            return Outcome(Reason.ERROR, exc)
        except TimeoutError:
            text = f"The reply took longer than {settings.TURN_MAX_SECONDS} seconds."
            return Outcome(Reason.ERROR, ProviderTimeout(text, provider=self.job.model.provider))
        except Exception as exc:
            log.exception("turn failed", turn_id=str(self.job.turn_id))
            return Outcome(Reason.ERROR, database_failure(exc) or InternalError())

    def _outcome_of_stop(self) -> Outcome:
        match self._stop_cause:
            case StopCause.HANDED_OVER:
                return Outcome(None)
            case StopCause.CANCELLED:
                return Outcome(Reason.CANCELLED)
            case _:
                return Outcome(Reason.INTERRUPTED, TurnInterrupted())

    async def _store_for_takeover(self) -> None:
        """Persists the reply before handing over; clients never saw more than this."""
        if self._lost_lease:
            return
        try:
            parts = self.transcript.parts
            await in_tenant(self.job.tenant, write_progress, turn_id=self.job.turn_id, parts=parts)
            if self._journal is not None:
                self._journal.end()
        except Exception:  # the engine sends the reply again
            log.exception("reply could not be stored", turn_id=str(self.job.turn_id))

    async def _wait_until_settled(self, *, stop_engine: bool) -> None:
        """Waits briefly until the turn's calls are settled, so that its total is complete.

        `stop_engine`: we cut the turn off, so it must be ended at its engine too.
        """
        try:
            if stop_engine:
                await self.engine.stop(self.job)
            for _ in range(SETTLE_CHECKS):
                if await in_public(is_settled, self.job.turn_id):
                    return
                await asyncio.sleep(SETTLE_PAUSE)
        except Exception:  # closing writes off the calls that are still open
            log.exception("turn could not be settled in time", turn_id=str(self.job.turn_id))

    async def _report_to_managers(self, error: ProviderError) -> None:
        """An audit entry with the provider's message: only a manager can change the model or its key."""
        try:
            await in_public(
                record_refusal,
                "model.failed",
                code=error.code,
                actor_id=self.job.user_id,
                tenant_id=self.job.tenant.id,
                workspace_id=self.job.workspace_id,
                target=self.job.model.slug,
                reason=error.text[:LONGEST_REASON],
            )
        except Exception:
            log.exception("a failure was not recorded", turn_id=str(self.job.turn_id))

    async def _close(self, finish_reason: str, error: DomainError | None) -> Ending:
        """Retried until the database accepts it; the heartbeat renews the lease meanwhile."""
        try:
            ending = await patiently(
                in_tenant,
                self.job.tenant,
                end_turn,
                turn_id=self.job.turn_id,
                parts=self.transcript.parts if self.job.stores_reply else [],
                finish_reason=finish_reason,
                error=error.as_dict(self.request_id) if error else None,
            )
        except Exception as exc:  # the lease expires, and the turn is recovered from what was stored
            log.exception("turn could not be closed", turn_id=str(self.job.turn_id))
            fault = (database_failure(exc) or InternalError()).as_dict(self.request_id)
            nothing = Usage(0, 0, Exactness.ESTIMATED)
            return Ending(finish_reason=Reason.ERROR, usage=nothing, quota=None, error=fault)
        if self._journal is not None:
            self._journal.end()
        return ending

    async def write_progress(self) -> None:
        """Stores the reply so far if that is due, and checks whether a stop was requested."""
        position = self.transcript.position
        is_due = position - self._written > self._written // REWRITTEN_SHARE or position == self._seen
        parts = None
        if self.job.stores_reply and position != self._written and is_due:
            parts = self.transcript.parts
        self._seen = position
        try:
            goes_on = await in_tenant(self.job.tenant, write_progress, turn_id=self.job.turn_id, parts=parts)
        except Exception as exc:
            if database_failure(exc) is None:
                log.exception("progress could not be stored", turn_id=str(self.job.turn_id))
            return
        if parts is not None:
            self._written = position
        if not goes_on and self.ending is None:
            self.stop(StopCause.CANCELLED)

    async def recheck_access(self) -> None:
        """Stops the turn if its person may no longer chat in the workspace."""
        if not await in_public(may_chat, self.job.user_id, self.job.workspace_id):
            self.lose_access()

    def lose_access(self) -> None:
        self.stop(StopCause.CANCELLED)

    def lose_lease(self) -> None:
        """The turn was closed, or another process has taken it over."""
        self._lost_lease = True
        self.stop(StopCause.INTERRUPTED)

    def _publish(self, event: NumberedEvent) -> None:
        self.events.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()


def _images_of(job: TurnJob) -> ReplyImages | None:
    """None for a completion, whose client gets the images and stores them itself."""
    if job.conversation_id is None or job.question is None:
        return None
    return ReplyImages(job.tenant, job.conversation_id, job.workspace_id, job.user_id)
