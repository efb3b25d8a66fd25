"""What a person is asked while LibreChat waits for a model call, told among the events of its stream.

The egress holds the call; LibreChat hears of a tool when it may be run, so who is asked hears of it from us.
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
from gateway.calls.tool_runs import OpenedRun
from gateway.engines.base import Event, TurnJob
from gateway.engines.librechat.stream_parser import REPLACE, Read, Reading
from gateway.engines.tools import approval_event, resolved_event
from gateway.models import ToolRun
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)
State = ToolRun.State
FAILED = {State.FAILED, State.DENIED, State.REFUSED, State.EXPIRED}
NEVER_RAN = {
    State.ASKED,
    State.ALLOWED,
    State.WAITING,
}  # an answer to one of these is LibreChat's own refusal
MOST_RUNS = 1_000  # of one turn


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A tool run as it stands now."""

    id: UUID
    call_id: str
    server: str
    tool: str
    arguments: dict[str, Any]
    state: str
    expires_at: str  # empty: nobody is asked
    duration_ms: int | None

    @property
    def decision(self) -> str:
        """Empty while a person is still asked; what ran was allowed."""
        if self.state == State.WAITING:
            return ""
        return self.state if self.state in {State.REFUSED, State.EXPIRED} else State.ALLOWED

    @property
    def told(self) -> dict[str, Any]:
        return {
            "call_id": self.call_id,
            "server": self.server or None,
            "tool": self.tool,
            "arguments": self.arguments,
        }


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


class Asking:
    """Follows the tool runs of one turn beside its stream."""

    def __init__(self, job: TurnJob, reading: Reading) -> None:
        self.job, self.reading = job, reading
        self._told: set[UUID] = set()
        self._resolved: set[UUID] = set()
        self._runs: dict[str, SeenRun] = {}
        self._looking = asyncio.Lock()
        self._is_first = job.is_adopted

    async def events(self, items: AsyncIterator[Read]) -> AsyncGenerator[Read, None]:
        """The stream's items, each decision told before what followed from it."""
        news: asyncio.Queue[Read | BaseException | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(items, news))
        watcher = asyncio.create_task(self._watch(news))
        try:
            while (item := await news.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            for task in (reader, watcher):
                task.cancel()
            await asyncio.gather(reader, watcher, return_exceptions=True)

    async def _read(self, items: AsyncIterator[Read], news: asyncio.Queue[Any]) -> None:
        try:
            async for item in items:
                if isinstance(item, Event) and item.type == REPLACE:
                    await self._tell_again(item, news)
                    continue
                if isinstance(item, Event) and item.type != "tool_result":
                    await news.put(item)
                    continue
                is_known = await self._try_look(news)
                await news.put(self._as_it_was(item) if isinstance(item, Event) and is_known else item)
            await news.put(None)
        except Exception as exc:
            await news.put(exc)

    async def _tell_again(self, item: Event, news: asyncio.Queue[Any]) -> None:
        """The reply is withdrawn and told again, so its approvals are too."""
        async with self._looking:
            self._told.clear()
            self._resolved.clear()
            await news.put(item)

    async def _watch(self, news: asyncio.Queue[Any]) -> None:
        try:
            with listening(self.job.turn_id) as heard:
                while True:
                    heard.clear()
                    await self._try_look(news)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await heard.wait()
        except Exception as exc:
            await news.put(exc)

    async def _try_look(self, news: asyncio.Queue[Any]) -> bool:
        """False where the database cannot be asked for a moment: the reply goes on, and it is asked again."""
        try:
            await self._look(news)
        except DatabaseError as exc:
            log.warning("tool runs were not looked at", turn_id=str(self.job.turn_id), error=str(exc)[:200])
            return False
        return True

    async def _look(self, news: asyncio.Queue[Any]) -> None:
        """Tells what is new. Who takes up another's turn tells only what still waits."""
        async with self._looking:
            runs = await in_tenant(self.job.tenant, seen_runs, turn_id=self.job.turn_id)
            self._runs = {run.call_id: run for run in runs}
            for run in runs:
                if not run.expires_at:
                    continue
                if self._is_first and run.decision:
                    self._told.add(run.id)
                    self._resolved.add(run.id)
                for event in self._news_of(run):
                    await news.put(event)
            self._is_first = False

    def _news_of(self, run: SeenRun) -> list[Event]:
        events: list[Event] = []
        if run.id not in self._told:
            self._told.add(run.id)
            if self.reading.remember_call(run.call_id):
                events.append(Event("tool_call", run.told))
            opened = OpenedRun(id=run.id, waits_until=run.expires_at)
            events.append(approval_event(opened, run.told))
        if run.decision and run.id not in self._resolved:
            self._resolved.add(run.id)
            events.append(resolved_event(OpenedRun(id=run.id), run.call_id, run.decision))
        return events

    def _as_it_was(self, result: Event) -> Event:
        """LibreChat tells neither whether a tool failed nor how long it took; the egress knows.

        A call that the egress did not run is an error, whatever LibreChat says in the tool's place.
        """
        run = self._runs.get(str(result.data["call_id"]))
        if run is None or run.state in NEVER_RAN:
            return never_ran(result)
        known: dict[str, Any] = {"duration_ms": run.duration_ms}
        if run.state in FAILED or run.state == State.DONE:
            known["is_error"] = run.state in FAILED
        return replace(result, data={**result.data, **known})


def never_ran(result: Event) -> Event:
    return replace(result, data={**result.data, "is_error": True, "duration_ms": None})


async def with_asking(
    job: TurnJob, reading: Reading, items: AsyncGenerator[Read, None]
) -> AsyncGenerator[Read, None]:
    """The items alone where the turn has no MCP servers, and so no tool that could have run."""
    async with aclosing(items):
        if not job.servers:
            async for item in items:
                yield never_ran(item) if isinstance(item, Event) and item.type == "tool_result" else item
            return
        async with aclosing(Asking(job, reading).events(items)) as told:
            async for item in told:
                yield item
