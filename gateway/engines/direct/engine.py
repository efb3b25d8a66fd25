"""The direct engine: our own history, tool loop and metered call in-process, with nothing to install."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from django.conf import settings

from gateway.calls.call_images import has_image_references
from gateway.calls.rights import models_now
from gateway.engines.base import Engine, TurnJob
from gateway.engines.check_steps import FAILED, OK, Step
from gateway.engines.direct.tools import Answered, RequestedCall, run_tools
from gateway.engines.events import EngineEvent, ToolResult
from gateway.engines.model_calls import call_model
from gateway.providers import reasoning_details
from gateway.providers.base import (
    Answering,
    Extra,
    Finish,
    JsonObject,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.providers.local import LocalProvider
from gateway.providers.reasoning_details import ReturnedReasoning
from gateway.providers.tool_calls import merge_tool_calls, name_and_arguments
from kit.database_retry import patiently
from kit.errors import DomainError
from kit.tenancy import in_tenant
from workspaces.language_models.queries import needed_abilities

# The fields of an answer that people see besides its text; the rest concerns only the provider.
SHOWN = {
    ("message", "annotations"),
    ("message", "images"),
    ("message", "audio"),
    ("answer", "citations"),
    ("answer", "search_results"),
}


class DirectEngine(Engine):
    name = "direct"
    runs_tools = True

    async def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        async with aclosing(run_loop(job)) as events:
            async for event in events:
                match event:
                    case RefusalDelta(text):
                        yield TextDelta(text)
                    case Answering():
                        continue
                    case Extra(place, name, _) if (place, name) not in SHOWN:
                        continue
                    case _:
                        yield event

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


async def run_loop(
    job: TurnJob, client_tools: frozenset[str] = frozenset()
) -> AsyncGenerator[EngineEvent, None]:
    """Calls the model, runs the tools that it calls, and calls it again with their results.

    A call of one of `client_tools`, the names of tools that the client runs itself, is passed on to it as
    ToolCallDelta; the loop ends there, after the other tools have run.
    """
    request, first = job.request, True
    offered = {tool.wire_name: tool for tool in job.tools}
    while True:
        answer = _Answer(client_tools)
        async with aclosing(call_model(job, None if first else request)) as events:
            async for event in events:
                if (passed_on := answer.take_in(event)) is not None:
                    yield passed_on
        calls = [RequestedCall.from_wire(call, offered) for call in answer.calls]
        results: dict[int, ToolResult] = {}
        async with aclosing(run_tools(job, calls)) as items:
            async for item in items:
                if isinstance(item, Answered):
                    results[item.position] = item.result
                    yield item.result
                else:
                    yield item
        if answer.calls_client or not calls:
            yield Finish(answer.reason)
            return
        added = [answer.message, *(_message(results[position]) for position in range(len(calls)))]
        extra = {name: value for name, value in request.extra.items() if name != "tool_choice"}
        # A required tool is required only once, otherwise the loop would never end.
        request, first = replace(request, messages=[*request.messages, *added], extra=extra), False
        job = await _with_current_models(job)


def _message(result: ToolResult) -> JsonObject:
    """The result as the model is sent it."""
    return {"role": "tool", "tool_call_id": result.call_id, "content": result.output}


async def _with_current_models(job: TurnJob) -> TurnJob:
    """The job with the models that its person may use now: one may have been disabled, its key changed."""
    models = await patiently(
        in_tenant,
        job.tenant,
        models_now,
        user_id=job.user_id,
        workspace_id=job.workspace_id,
        model=job.model.slug,
        model_id=job.model.id,
        needed=needed_abilities(tools=bool(job.servers), images=has_image_references(job.request.messages)),
    )
    return replace(job, model=models[0], fallbacks=models[1:])


class _Answer:
    """Collects one answer of the model: its text and its tool calls, and its reasoning for the next call."""

    def __init__(self, client_tools: frozenset[str]) -> None:
        self.reason = "stop"
        self._client_tools = client_tools
        self._client_indexes: dict[int, int] = {}  # the client's index by the model's
        self._texts: list[str] = []
        self._reasoning = ReturnedReasoning()
        self._extras: JsonObject = {}  # the provider's own fields, such as Gemini's signature of a text
        self._pieces: list[list[JsonObject]] = []

    @property
    def calls_client(self) -> bool:
        return bool(self._client_indexes)

    def take_in(self, event: EngineEvent) -> EngineEvent | None:
        """The event to pass on, or None."""
        match event:
            case Finish(reason):
                self.reason = reason
                return None
            case ToolCallDelta(pieces):
                return self._take_in_calls(pieces)
            case TextDelta(text) | RefusalDelta(text):
                self._texts.append(text)
            case ReasoningDelta() | Extra("message", reasoning_details.NAME, _):
                self._reasoning.take_in(event)
            case Extra("message", name, value) if ("message", name) not in SHOWN:
                self._extras[name] = value
        return event

    def _take_in_calls(self, pieces: list[JsonObject]) -> ToolCallDelta | None:
        """Stores calls of our tools, and returns calls of the client's tools, numbered from 0."""
        ours, theirs = [], []
        for piece in pieces:
            index = piece["index"]
            if name_and_arguments(piece)[0] in self._client_tools:
                self._client_indexes.setdefault(index, len(self._client_indexes))
            if index in self._client_indexes:
                theirs.append({**piece, "index": self._client_indexes[index]})
            else:
                ours.append(piece)
        self._pieces.append(ours)
        return ToolCallDelta(theirs) if theirs else None

    @property
    def calls(self) -> list[JsonObject]:
        """Empty if the answer was cut off by its output bound: half a call must not be run."""
        return merge_tool_calls(self._pieces) if self.reason != "length" else []

    @property
    def message(self) -> JsonObject:
        """The message to send back, with its reasoning: DeepSeek, Kimi and Claude refuse calls without it."""
        return {
            "role": "assistant",
            "content": "".join(self._texts) or None,
            **self._reasoning.fields(),
            **self._extras,
            "tool_calls": self.calls,
        }
