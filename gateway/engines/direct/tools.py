"""The direct engine's tool calls: runs them concurrently and gives the model their results."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from django.conf import settings

from gateway.calls.approvals import wait_for_decision
from gateway.calls.tool_names import OfferedTool
from gateway.calls.tool_runs import (
    REFUSED,
    UNANSWERED,
    Caller,
    OpenedRun,
    ToolRequest,
    execute_run,
    open_checked_run,
)
from gateway.engines.base import TurnJob
from gateway.engines.call_arguments import arguments_of
from gateway.engines.events import ApprovalRequest, ApprovalResolution, Event, ToolCall, ToolResult
from gateway.models import ToolRun
from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound
from gateway.providers.tool_calls import name_and_arguments
from workspaces.mcp_servers.client import ToolOutcome

MOST_CALLS = 32  # of one answer of the model
TOO_MANY = f"At most {MOST_CALLS} tools are called at a time; this one was not."


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call as the model wrote it; `arguments` is text that may not be JSON."""

    id: str
    name: str
    arguments: str
    offered: OfferedTool | None = None

    @classmethod
    def from_wire(cls, call: JsonObject, offered: dict[str, OfferedTool] | None = None) -> "RequestedCall":
        """A custom tool's input is a text; we have no custom tools, so such a call gets an error."""
        name, arguments = name_and_arguments(call)
        return cls(id=call["id"], name=name, arguments=arguments, offered=(offered or {}).get(name))

    @property
    def request(self) -> ToolRequest:
        server, tool = (self.offered.server, self.offered.tool.name) if self.offered else ("", self.name)
        return ToolRequest(
            call_id=self.id,
            server=server,
            tool=sound(tool),
            arguments=self.arguments,
            server_id=self.offered.server_id if self.offered else None,
        )

    @property
    def event(self) -> ToolCall:
        request = self.request
        return ToolCall(self.id, request.server or None, request.tool, arguments_of(self.arguments))


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of the call at `position`: ids of calls may repeat."""

    position: int
    result: ToolResult


News = asyncio.Queue["Event | Answered | BaseException"]


async def run_tools(job: TurnJob, calls: list[RequestedCall]) -> AsyncGenerator[Event | Answered, None]:
    """Runs the calls concurrently; a call that waits for a person's approval delays no other.

    Closing the iterator cancels the calls that are still running.
    """
    news: News = asyncio.Queue()
    slots = asyncio.Semaphore(settings.MCP_PARALLEL_CALLS)
    caller = Caller(job.tenant, job.workspace_id, job.user_id, job.turn_id)
    for call in calls:
        yield call.event
    tasks = [
        asyncio.create_task(_run_one(caller, position, call, news, slots))
        for position, call in enumerate(calls)
    ]
    try:
        left = len(tasks)
        while left:
            item = await news.get()
            if isinstance(item, BaseException):
                raise item
            left -= isinstance(item, Answered)
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run_one(
    caller: Caller, position: int, call: RequestedCall, news: News, slots: asyncio.Semaphore
) -> None:
    try:
        begun = time.monotonic()
        if position >= MOST_CALLS:
            outcome = ToolOutcome(output=TOO_MANY, is_error=True)
        else:
            run = await open_checked_run(caller=caller, request=call.request)
            outcome, begun = await _run_opened(caller, call, run, news, slots)
        milliseconds = int((time.monotonic() - begun) * 1000)
        result = ToolResult(call.id, sound(outcome.output), outcome.is_error, milliseconds)
        await news.put(Answered(position, result))
    except Exception as exc:  # a fault of ours ends the turn, as any other does
        await news.put(exc)


async def _run_opened(
    caller: Caller, call: RequestedCall, run: OpenedRun, news: News, slots: asyncio.Semaphore
) -> tuple[ToolOutcome, float]:
    """The outcome, and when the tool itself began: the time a person takes to answer is not the tool's."""
    if run.waits_until:
        await news.put(ApprovalRequest(str(run.id), call.event, run.waits_until))
        decision = await wait_for_decision(caller, run.id)
        await news.put(ApprovalResolution(str(run.id), call.id, str(decision)))
        if decision != ToolRun.State.ALLOWED:
            words = REFUSED if decision == ToolRun.State.REFUSED else UNANSWERED
            return ToolOutcome(output=words, is_error=True), time.monotonic()
    async with slots:
        begun = time.monotonic()
        return await execute_run(caller, run), begun
