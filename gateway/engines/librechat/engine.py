"""Runs turns on an unmodified LibreChat, in an account of its own for each tenant and person.

The turn's id is the reply's id at LibreChat and returns in the header `x-message` of every model call, by
which our egress knows the turn. What a call cost and how it failed is known to the egress, not to LibreChat.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.conf import settings

from gateway.engines.base import Engine, SettingsProblem, Thread, TurnJob
from gateway.engines.check_steps import Step
from gateway.engines.events import EngineEvent, Replacement
from gateway.engines.librechat.accounts import ENGINE, Accounts
from gateway.engines.librechat.approval_events import with_approvals
from gateway.engines.librechat.branches import texts_of
from gateway.engines.librechat.client import LibreChatClient
from gateway.engines.librechat.diagnostics import check_librechat
from gateway.engines.librechat.egress_watch import egress_watch, with_egress
from gateway.engines.librechat.generation import Generation
from gateway.engines.librechat.history_notice import with_notices
from gateway.engines.librechat.noted_extras import noted_extras
from gateway.engines.librechat.outcome import outcome_of
from gateway.engines.librechat.stream_parser import Failure, StreamItem
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.providers.base import Finish
from kit.errors import DomainError
from kit.per_loop import PerLoop
from kit.secrets import SecretUnreadable

T = TypeVar("T")
log = structlog.get_logger(__name__)
STOP_SECONDS = 5.0
AWAY_SECONDS = 10.0
READ_SECONDS = 4.0  # after this, a conversation is opened with our own copy
EGRESS_SECRET_LENGTH = 32  # characters, in production


class LibreChatEngine(Engine):
    name = ENGINE
    runs_tools = True
    outlives_process = True

    @property
    def _state(self) -> "_LoopState":
        """The running loop's; an engine may be made and asked for its name without a loop."""
        return _loop_state()

    async def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        """Starts the turn's generation, or takes over that of a process that died, and follows it."""
        generation = Generation(job, self._state.accounts)
        end: Finish | Failure = Failure("LibreChat's stream ended without a final event.", never_began=True)
        if not job.is_takeover:
            await egress_watch().expect_up()
        try:
            async with aclosing(_all_items(job, generation)) as items:
                async for item in items:
                    if isinstance(item, Finish | Failure):
                        end = item
                        continue
                    if isinstance(item, Replacement):
                        log.warning(
                            "LibreChat streamed another reply than it stored", turn_id=str(job.turn_id)
                        )
                    yield item
        except SecretUnreadable as exc:
            raise EngineFailed("The engine account's password cannot be read.") from exc
        except EngineUnavailable as exc:
            if exc.details.get("part"):  # LibreChat itself is up, and would keep trying
                await self.stop(job)
            raise
        for extra in await noted_extras(job):
            yield extra
        yield await outcome_of(job, end, generation.reader.usage)

    async def stop(self, job: TurnJob) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await Generation(job, self._state.accounts).abort()
        except (DomainError, TimeoutError) as exc:
            log.warning("LibreChat could not be stopped", turn_id=str(job.turn_id), error=type(exc).__name__)

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        now = asyncio.get_running_loop().time()
        if now < self._state.away_until:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS):
                rows = await self._call(thread, self._state.client.messages, thread.conversation_id)
        except (DomainError, TimeoutError, SecretUnreadable) as exc:
            log.warning("LibreChat's messages cannot be read", error=type(exc).__name__)
            self._state.away_until = now + AWAY_SECONDS
            return None
        return texts_of(rows)

    async def rename(self, thread: Thread, title: str) -> None:
        await self._call(thread, self._state.client.rename, thread.conversation_id, title)

    async def delete(self, thread: Thread) -> None:
        await self._call(thread, self._state.client.delete, thread.conversation_id)

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        state = self._state
        await state.accounts.call(engine_account_id, lambda token: state.client.remove_server(token, name))

    async def health(self) -> None:
        await self._state.client.health()

    def check(self) -> AsyncGenerator[Step, None]:
        return check_librechat()

    def settings_problems(self) -> list[SettingsProblem]:
        problems = []
        if not settings.LIBRECHAT_URL:
            problems.append(SettingsProblem("ENGINE=librechat needs LIBRECHAT_URL.", "switchyard.E004"))
        if text := _secrets_problem(settings.EGRESS_SECRETS):
            problems.append(SettingsProblem(text, "switchyard.E005"))
        return problems

    async def _call(self, thread: Thread, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        if thread.engine_account_id is None:
            raise EngineFailed("The conversation has no engine account.")
        return await self._state.accounts.call(thread.engine_account_id, lambda token: method(token, *args))


def _all_items(job: TurnJob, generation: Generation) -> AsyncGenerator[StreamItem, None]:
    """The turn's items from LibreChat and from the egress."""
    approved = with_approvals(job, generation.reader, generation.events())
    return with_egress(with_notices(job, approved))


def _secrets_problem(egress_secrets: list[str]) -> str:
    """Anyone with such a secret gets model calls paid for by a running turn's workspace."""
    if not egress_secrets:
        return "ENGINE=librechat needs EGRESS_SECRETS."
    if not settings.DEVELOPMENT and min(map(len, egress_secrets)) < EGRESS_SECRET_LENGTH:
        return f"EGRESS_SECRETS has one shorter than {EGRESS_SECRET_LENGTH} characters; make a longer one."
    return ""


class _LoopState:
    """What an event loop remembers of its LibreChat."""

    def __init__(self, base_url: str) -> None:
        self.client = LibreChatClient(base_url)
        self.accounts = Accounts(self.client)
        self.away_until = 0.0  # until then conversations are opened without asking LibreChat


_states: PerLoop[dict[str, _LoopState]] = PerLoop(dict)


def _loop_state() -> _LoopState:
    """The running loop's, for the LibreChat that is configured now."""
    by_url = _states.get()
    if settings.LIBRECHAT_URL not in by_url:
        by_url[settings.LIBRECHAT_URL] = _LoopState(settings.LIBRECHAT_URL)
    return by_url[settings.LIBRECHAT_URL]
