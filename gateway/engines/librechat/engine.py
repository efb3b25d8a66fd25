"""Runs turns on an unmodified LibreChat, in an account of its own for each tenant and person.

The turn's id is the reply's id there and comes back in the header `x-message` of every model call, which is
how our egress knows the turn. What a call cost and how it failed is known by the egress, not by LibreChat.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.conf import settings

from gateway.engines.base import Event, Finished, Thread, TurnJob
from gateway.engines.check_steps import Step
from gateway.engines.librechat.accounts import ENGINE, Accounts
from gateway.engines.librechat.approval_events import with_asking
from gateway.engines.librechat.branches import texts_of
from gateway.engines.librechat.client import LibreChatClient
from gateway.engines.librechat.diagnostics import check_librechat
from gateway.engines.librechat.egress_watch import egress_watch, with_egress
from gateway.engines.librechat.generation import Generation
from gateway.engines.librechat.history_notice import with_notices
from gateway.engines.librechat.outcome import outcome_of
from gateway.engines.librechat.stream_parser import REPLACE, Failure, Read
from gateway.errors import EngineFailed, EngineUnavailable
from kit.errors import DomainError
from kit.per_loop import PerLoop
from kit.secrets import SecretUnreadable

T = TypeVar("T")
log = structlog.get_logger(__name__)
STOP_SECONDS = 5.0
AWAY_SECONDS = 10.0
READ_SECONDS = 4.0  # whoever opens a conversation gets our own copy after this


class LibreChatEngine:
    name = ENGINE
    runs_tools = True
    has_accounts = True
    outlives_us = True

    @property
    def _here(self) -> "_Here":
        """The running loop's own; an engine may be made and asked for its name without a loop."""
        return _here()

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """Begins the turn's generation, or takes up the one of a process that died, and follows it."""
        generation = Generation(job, self._here.accounts)
        end: Finished | Failure = Failure("LibreChat's stream ended without a final event.", never_began=True)
        if not job.is_adopted:
            await egress_watch().expect_up()
        try:
            async with aclosing(_told(job, generation)) as items:
                async for item in items:
                    if not isinstance(item, Event):
                        end = item
                        continue
                    if item.type == REPLACE:
                        log.warning(
                            "LibreChat streamed another reply than it stored", turn_id=str(job.turn_id)
                        )
                    yield item
        except SecretUnreadable as exc:
            raise EngineFailed("The engine account's password cannot be read.") from exc
        except EngineUnavailable as exc:
            if exc.details.get("part"):  # LibreChat itself is there, and would go on trying
                await self.stop(job)
            raise
        yield await outcome_of(job, end, generation.reading.usage)

    async def stop(self, job: TurnJob) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await Generation(job, self._here.accounts).abort()
        except (DomainError, TimeoutError) as exc:
            log.warning("LibreChat was not told to stop", turn_id=str(job.turn_id), error=type(exc).__name__)

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        now = asyncio.get_running_loop().time()
        if now < self._here.away_until:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS):
                rows = await self._call(thread, self._here.client.messages, thread.conversation_id)
        except (DomainError, TimeoutError, SecretUnreadable) as exc:
            log.warning("LibreChat's messages cannot be read", error=type(exc).__name__)
            self._here.away_until = now + AWAY_SECONDS
            return None
        return texts_of(rows)

    async def rename(self, thread: Thread, title: str) -> None:
        await self._call(thread, self._here.client.rename, thread.conversation_id, title)

    async def delete(self, thread: Thread) -> None:
        await self._call(thread, self._here.client.delete, thread.conversation_id)

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        here = self._here
        await here.accounts.call(engine_account_id, lambda token: here.client.remove_server(token, name))

    async def health(self) -> None:
        await self._here.client.health()

    def check(self) -> AsyncGenerator[Step, None]:
        return check_librechat()

    async def _call(self, thread: Thread, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        if thread.engine_account_id is None:
            raise EngineFailed("The conversation has no engine account.")
        return await self._here.accounts.call(thread.engine_account_id, lambda token: method(token, *args))


def _told(job: TurnJob, generation: Generation) -> AsyncGenerator[Read, None]:
    """Everything that is told of the turn, by LibreChat and by the egress."""
    asked = with_asking(job, generation.reading, generation.events())
    return with_egress(with_notices(job, asked))


class _Here:
    """What an event loop remembers of its LibreChat."""

    def __init__(self, base_url: str) -> None:
        self.client = LibreChatClient(base_url)
        self.accounts = Accounts(self.client)
        self.away_until = 0.0  # until then nobody waits for its copy of a conversation


_known: PerLoop[dict[str, _Here]] = PerLoop(dict)


def _here() -> _Here:
    """The running loop's, for the LibreChat that is named now."""
    by_url = _known.get()
    if settings.LIBRECHAT_URL not in by_url:
        by_url[settings.LIBRECHAT_URL] = _Here(settings.LIBRECHAT_URL)
    return by_url[settings.LIBRECHAT_URL]
