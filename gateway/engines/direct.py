"""The direct engine: our own history, the tool loop and the metered call in-process, nothing to install."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from gateway.calls.images import names_images
from gateway.calls.rights import models_now
from gateway.engines.base import Event, Finished, Thread, TurnJob
from gateway.engines.check_steps import FAILED, OK, Step
from gateway.engines.model_calls import call_model
from gateway.engines.tools import ToolAnswer, ToolCall, run_tools
from gateway.providers.base import JsonObject
from gateway.providers.local import LocalProvider
from gateway.providers.tool_calls import merge_tool_calls
from kit.errors import DomainError
from kit.patience import patiently
from kit.tenancy import in_tenant
from workspaces.language_models.queries import needed_abilities


class DirectEngine:
    name = "direct"
    runs_tools = True
    has_accounts = False
    outlives_us = False

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """Calls the model, runs the tools it asks for, and calls it again with what they said."""
        request, first = job.request, True
        offered = {tool.wire_name: tool for tool in job.tools}
        while True:
            answer = _Answer()
            async with aclosing(call_model(job, None if first else request)) as events:
                async for event in events:
                    if answer.passes_on(event):
                        yield event
            calls = [ToolCall.from_wire(call, offered) for call in answer.calls]
            if not calls:
                yield Finished(answer.reason)
                return
            answers: dict[int, ToolAnswer] = {}
            async with aclosing(run_tools(job, calls)) as items:
                async for item in items:
                    if isinstance(item, ToolAnswer):
                        answers[id(item.call)] = item
                        yield item.event
                    else:
                        yield item
            said = [answer.message, *(answers[id(call)].message for call in calls)]
            request, first = replace(request, messages=[*request.messages, *said]), False
            job = await _as_of_now(job)

    async def stop(self, job: TurnJob) -> None:
        """Closing `run` has cancelled the call already."""

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        return None

    async def rename(self, thread: Thread, title: str) -> None:
        """Ours is the only copy."""

    async def delete(self, thread: Thread) -> None:
        """Ours is the only copy."""

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        """It knows none but ours."""

    async def health(self) -> None:
        """It runs in our own processes. The local model is one provider among others, and decides nothing."""

    async def check(self) -> AsyncGenerator[Step, None]:
        yield Step(
            "engine", OK, "The direct engine runs in Switchyard's own processes and only needs the model."
        )
        try:
            await LocalProvider().health()
        except DomainError:
            text = f"The local model does not respond at {settings.LOCAL_MODEL_URL}."
            mend = "`make run` starts one. Otherwise set LOCAL_MODEL_URL to a running llama.cpp server."
            yield Step("model", FAILED, text, mend, may_pass=True)
        else:
            yield Step("model", OK, f"The local model responds at {settings.LOCAL_MODEL_URL}.")


async def _as_of_now(job: TurnJob) -> TurnJob:
    """The turn with what its person may use now: a model may be disabled, or its key changed, meanwhile."""
    models = await patiently(
        in_tenant,
        job.tenant,
        models_now,
        user_id=job.user_id,
        workspace_id=job.workspace_id,
        model=job.model.slug,
    )
    needed = needed_abilities(tools=bool(job.servers), images=names_images(job.request.messages))
    able = [model for model in models[1:] if needed <= model.abilities]
    return replace(job, model=models[0], fallbacks=tuple(able))


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
    def calls(self) -> list[JsonObject]:
        """None where the output's bound cut the answer off: half a call is not to be run."""
        return merge_tool_calls(self._pieces) if self.reason != "length" else []

    @property
    def message(self) -> JsonObject:
        text = "".join(self._texts) or None
        return {"role": "assistant", "content": text, "tool_calls": self.calls}
