"""Tool calls of the direct engine: what the model asked for, run at the same time, and what it is told."""

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from gateway.calls.approvals import wait_for_decision
from gateway.calls.tool_names import OfferedTool
from gateway.calls.tool_runs import REFUSED, UNANSWERED, Asked, Caller, OpenedRun, execute_run, open_judged
from gateway.engines.base import Event, TurnJob
from gateway.models import ToolRun
from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound
from workspaces.mcp_servers.client import ToolOutcome

MOST_CALLS = 32  # of one answer of the model
TOO_MANY = f"At most {MOST_CALLS} tools are called at a time; this one was not."


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it; `arguments` is JSON text that may be wrong."""

    id: str
    name: str
    arguments: str
    offered: OfferedTool | None = None

    @classmethod
    def from_wire(cls, call: JsonObject, offered: dict[str, OfferedTool] | None = None) -> "ToolCall":
        function = call["function"]
        name = function["name"]
        return cls(
            id=call["id"], name=name, arguments=function["arguments"], offered=(offered or {}).get(name)
        )

    @property
    def asked(self) -> Asked:
        server, tool = (self.offered.server, self.offered.tool.name) if self.offered else ("", self.name)
        return Asked(
            call_id=self.id,
            server=server,
            tool=sound(tool),
            arguments=self.arguments,
            server_id=self.offered.server_id if self.offered else None,
        )

    @property
    def told(self) -> JsonObject:
        """As events tell it."""
        asked = self.asked
        arguments = arguments_of(self.arguments)
        return {
            "call_id": self.id,
            "server": asked.server or None,
            "tool": asked.tool,
            "arguments": arguments,
        }

    @property
    def event(self) -> Event:
        return Event("tool_call", self.told)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool said; an error is told to the model in words too."""

    call: ToolCall
    output: str
    is_error: bool
    duration_ms: int

    @property
    def event(self) -> Event:
        told = {"output": self.output, "is_error": self.is_error, "duration_ms": self.duration_ms}
        return Event("tool_result", {"call_id": self.call.id, **told})

    @property
    def message(self) -> JsonObject:
        return {"role": "tool", "tool_call_id": self.call.id, "content": self.output}


def arguments_of(text: str) -> Any:
    """A call's arguments as data that can be stored; what is no JSON is shown as the text it is."""
    try:
        return _storable(json.loads(text)) if text.strip() else {}
    except (ValueError, RecursionError):
        return sound(text)


def storable(value: Any) -> Any:
    """The same without what JSON escapes smuggle past `sound`, NaN and infinities; {} if it is too deep."""
    try:
        return _storable(value)
    except RecursionError:
        return {}


def _storable(value: Any) -> Any:
    """The same without what JSON's escapes can smuggle past `sound`, and without NaN and infinities."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {sound(name): _storable(item) for name, item in value.items()}
    return value


async def run_tools(job: TurnJob, calls: list[ToolCall]) -> AsyncGenerator[Event | ToolAnswer, None]:
    """Runs the calls beside each other; what a person has to allow holds up only itself.

    Closing the iterator cancels what still runs.
    """
    news: asyncio.Queue[Event | ToolAnswer | BaseException] = asyncio.Queue()
    together = asyncio.Semaphore(settings.MCP_PARALLEL_CALLS)
    caller = Caller(job.tenant, job.workspace_id, job.user_id, job.turn_id)
    for call in calls:
        yield call.event
    tasks = [
        asyncio.create_task(_run_one(caller, call, news, together, is_one_too_many=number >= MOST_CALLS))
        for number, call in enumerate(calls)
    ]
    try:
        left = len(tasks)
        while left:
            item = await news.get()
            if isinstance(item, BaseException):
                raise item
            left -= isinstance(item, ToolAnswer)
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run_one(
    caller: Caller,
    call: ToolCall,
    news: "asyncio.Queue[Event | ToolAnswer | BaseException]",
    together: asyncio.Semaphore,
    *,
    is_one_too_many: bool,
) -> None:
    try:
        begun = time.monotonic()
        if is_one_too_many:
            outcome = ToolOutcome(output=TOO_MANY, is_error=True)
        else:
            run = await open_judged(caller=caller, asked=call.asked)
            outcome, begun = await _run_opened(caller, call, run, news, together)
        spent = int((time.monotonic() - begun) * 1000)
        output = sound(outcome.output)
        await news.put(ToolAnswer(call=call, output=output, is_error=outcome.is_error, duration_ms=spent))
    except Exception as exc:  # a fault of ours ends the turn, as any other does
        await news.put(exc)


async def _run_opened(
    caller: Caller,
    call: ToolCall,
    run: OpenedRun,
    news: "asyncio.Queue[Event | ToolAnswer | BaseException]",
    together: asyncio.Semaphore,
) -> tuple[ToolOutcome, float]:
    """The outcome, and when the tool itself began: what a person takes to answer is not the tool's time."""
    if run.waits_until:
        await news.put(approval_event(run, call.told))
        decision = await wait_for_decision(caller, run.id)
        await news.put(resolved_event(run, call.id, decision))
        if decision != ToolRun.State.ALLOWED:
            words = REFUSED if decision == ToolRun.State.REFUSED else UNANSWERED
            return ToolOutcome(output=words, is_error=True), time.monotonic()
    async with together:
        begun = time.monotonic()
        return await execute_run(caller, run), begun


def approval_event(run: OpenedRun, told: JsonObject) -> Event:
    return Event("approval", {"approval_id": str(run.id), **told, "expires_at": run.waits_until})


def resolved_event(run: OpenedRun, call_id: str, decision: str) -> Event:
    return Event(
        "approval_resolved", {"approval_id": str(run.id), "call_id": call_id, "decision": str(decision)}
    )
