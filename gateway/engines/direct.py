"""The direct engine: our own history, the tool loop and the metered call in-process, nothing to install."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from gateway.engines.base import Event, Finished, Thread, TurnJob
from gateway.engines.model_calls import call_model
from gateway.engines.steps import FAILED, OK, Step
from gateway.engines.tools import ToolCall, run_tool
from gateway.providers.base import JsonObject
from gateway.providers.local import LocalProvider
from gateway.providers.tool_calls import merge_tool_calls
from kit.errors import DomainError


class DirectEngine:
    name = "direct"
    has_accounts = False
    outlives_us = False

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """Calls the model, runs the tools it asks for, and calls it again with what they said."""
        request, first = job.request, True
        while True:
            answer = _Answer()
            async with aclosing(call_model(job, None if first else request)) as events:
                async for event in events:
                    if answer.passes_on(event):
                        yield event
            if not answer.calls:
                yield Finished(answer.reason)
                return
            said = [answer.message]
            for call in answer.calls:
                yield call.event
                result = await run_tool(call)
                yield result.event
                said.append(result.message)
            request, first = replace(request, messages=[*request.messages, *said]), False

    async def stop(self, job: TurnJob) -> None:
        """Closing `run` has cancelled the call already."""

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        return None

    async def rename(self, thread: Thread, title: str) -> None:
        """Ours is the only copy."""

    async def delete(self, thread: Thread) -> None:
        """Ours is the only copy."""

    async def health(self) -> None:
        await LocalProvider().health()

    async def check(self) -> AsyncGenerator[Step, None]:
        yield Step(
            "engine", OK, "The direct engine runs in our own processes and needs nothing but the model."
        )
        try:
            await self.health()
        except DomainError:
            text = f"The local model does not answer at {settings.LOCAL_MODEL_URL}."
            mend = "`make run` starts one; elsewhere let LOCAL_MODEL_URL name a llama.cpp server that runs."
            yield Step("model", FAILED, text, mend, may_pass=True)
        else:
            yield Step("model", OK, f"The local model answers at {settings.LOCAL_MODEL_URL}.")


class _Answer:
    """Gathers one answer of the model: its text, and the tools that it asks for."""

    def __init__(self) -> None:
        self.reason = "stop"
        self._texts: list[str] = []
        self._pieces: list[list[JsonObject]] = []

    def passes_on(self, event: Event | Finished) -> bool:
        match event:
            case Finished(reason):
                self.reason = reason
                return False
            case Event("tool_calls", {"calls": pieces}):
                self._pieces.append(pieces)
                return False
            case Event("delta", {"text": text}):
                self._texts.append(text)
        return True

    @property
    def _whole_calls(self) -> list[JsonObject]:
        """None where the output's bound cut the answer off: half a call is not to be run."""
        return merge_tool_calls(self._pieces) if self.reason != "length" else []

    @property
    def calls(self) -> list[ToolCall]:
        return [ToolCall.from_wire(call) for call in self._whole_calls]

    @property
    def message(self) -> JsonObject:
        text = "".join(self._texts) or None
        return {"role": "assistant", "content": text, "tool_calls": self._whole_calls}
