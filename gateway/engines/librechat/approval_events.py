"""Adds approvals to the events of LibreChat's stream while LibreChat waits for a model call.

The egress holds the call. LibreChat learns of a tool only when it may run, so clients learn of it from us.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError

from gateway.calls.approvals import POLL_SECONDS
from gateway.calls.tool_news import listening
from gateway.engines.base import TurnJob
from gateway.engines.events import (
    ApprovalRequest,
    ApprovalResolution,
    Event,
    Replacement,
    ToolCall,
    ToolResult,
)
from gateway.engines.librechat.stream_parser import ReplyReader, StreamItem
from gateway.models import ToolRun
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)
State = ToolRun.State
FAILED = {State.FAILED, State.DENIED, State.REFUSED, State.EXPIRED}
# Before any of these the tool did not run, so a result is LibreChat's own refusal.
NEVER_RAN = {State.ASKED, State.ALLOWED, State.WAITING}
MOST_RUNS = 1_000  # of one turn


@dataclass(frozen=True, slots=True)
class SeenRun:
    """The current state of a tool run."""

    id: UUID
    call_id: str
    server: str
    tool: str
    arguments: dict[str, Any]
    state: str
    expires_at: str  # empty: no approval is needed
    duration_ms: int | None

    @property
    def decision(self) -> str:
        """Empty while a person is still being asked; a tool that ran was allowed."""
        if self.state == State.WAITING:
            return ""
        return self.state if self.state in {State.REFUSED, State.EXPIRED} else State.ALLOWED

    @property
    def call(self) -> ToolCall:
        return ToolCall(self.call_id, self.server or None, self.tool, self.arguments)


def seen_runs(*, turn_id: UUID) -> list[SeenRun]:
    """In the tenant's schema; the turn's tool runs, oldest first."""
    rows = ToolRun.objects.filter(turn=turn_id).order_by("created_at", "id")[:MOST_RUNS]
    return [
        SeenRun(
            id=row.id,
            call_id=row.call_id,
            server=row.server,
            tool=row.tool,
            arguments=row.arguments,
            state=row.state,
            expires_at=row.expires_at.isoformat() if row.expires_at else "",
            duration_ms=row.duration_ms,
        )
        for row in rows
    ]


class ApprovalEvents:
    """Follows the tool runs of one turn and merges their events into its stream."""

    def __init__(self, job: TurnJob, reader: ReplyReader) -> None:
        self.job, self.reader = job, reader
        self._requested: set[UUID] = set()
        self._resolved: set[UUID] = set()
        self._runs: dict[str, SeenRun] = {}
        self._reading_runs = asyncio.Lock()
        self._is_first = job.is_takeover

    async def merged(self, items: AsyncIterator[StreamItem]) -> AsyncGenerator[StreamItem, None]:
        """The stream's items, each decision before what followed from it."""
        news: asyncio.Queue[StreamItem | BaseException | None] = asyncio.Queue()
        tasks = (asyncio.create_task(self._read(items, news)), asyncio.create_task(self._watch(news)))
        try:
            while (item := await news.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, items: AsyncIterator[StreamItem], news: asyncio.Queue[Any]) -> None:
        try:
            async for item in items:
                match item:
                    case Replacement():
                        await self._start_over(item, news)
                    case ToolResult():
                        is_known = await self._try_read_runs(news)
                        await news.put(self._corrected(item) if is_known else item)
                    case _ if isinstance(item, Event):
                        await news.put(item)
                    case _:
                        await self._try_read_runs(news)
                        await news.put(item)
            await news.put(None)
        except Exception as exc:
            await news.put(exc)

    async def _start_over(self, item: Replacement, news: asyncio.Queue[Any]) -> None:
        """The reply is withdrawn and sent again, so its approvals are too."""
        async with self._reading_runs:
            self._requested.clear()
            self._resolved.clear()
            await news.put(item)

    async def _watch(self, news: asyncio.Queue[Any]) -> None:
        try:
            with listening(self.job.turn_id) as heard:
                while True:
                    heard.clear()
                    await self._try_read_runs(news)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await heard.wait()
        except Exception as exc:
            await news.put(exc)

    async def _try_read_runs(self, news: asyncio.Queue[Any]) -> bool:
        """False while the database is unavailable: the reply continues, and the read is repeated."""
        try:
            await self._read_runs(news)
        except DatabaseError as exc:
            log.warning("tool runs could not be read", turn_id=str(self.job.turn_id), error=str(exc)[:200])
            return False
        return True

    async def _read_runs(self, news: asyncio.Queue[Any]) -> None:
        """Sends what is new. The first read after a takeover sends only what is still waiting."""
        async with self._reading_runs:
            runs = await in_tenant(self.job.tenant, seen_runs, turn_id=self.job.turn_id)
            self._runs = {run.call_id: run for run in runs}
            for run in runs:
                if not run.expires_at:
                    continue
                if self._is_first and run.decision:
                    self._requested.add(run.id)
                    self._resolved.add(run.id)
                for event in self._new_events(run):
                    await news.put(event)
            self._is_first = False

    def _new_events(self, run: SeenRun) -> list[Event]:
        events: list[Event] = []
        if run.id not in self._requested:
            self._requested.add(run.id)
            if self.reader.remember_call(run.call_id):
                events.append(run.call)
            events.append(ApprovalRequest(str(run.id), run.call, run.expires_at))
        if run.decision and run.id not in self._resolved:
            self._resolved.add(run.id)
            events.append(ApprovalResolution(str(run.id), run.call_id, str(run.decision)))
        return events

    def _corrected(self, result: ToolResult) -> ToolResult:
        """The result with the error state and duration that the egress recorded: LibreChat sends neither.

        A call that the egress did not run is an error, whatever LibreChat sent as its result.
        """
        run = self._runs.get(result.call_id)
        if run is None or run.state in NEVER_RAN:
            return never_ran(result)
        is_final = run.state in FAILED or run.state == State.DONE
        is_error = run.state in FAILED if is_final else result.is_error
        return replace(result, is_error=is_error, duration_ms=run.duration_ms)


def never_ran(result: ToolResult) -> ToolResult:
    return replace(result, is_error=True, duration_ms=None)


async def with_approvals(
    job: TurnJob, reader: ReplyReader, items: AsyncGenerator[StreamItem, None]
) -> AsyncGenerator[StreamItem, None]:
    """Without MCP servers no tool can have run, so nothing is added."""
    async with aclosing(items):
        if not job.servers:
            async for item in items:
                yield never_ran(item) if isinstance(item, ToolResult) else item
            return
        async with aclosing(ApprovalEvents(job, reader).merged(items)) as merged:
            async for item in merged:
                yield item
