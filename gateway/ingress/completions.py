"""`POST /v1/chat/completions`: one metered call for OpenAI's clients, without conversation or engine."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.principals import Principal
from gateway.egress.metered import Bounds, bound_call, metered_call
from gateway.engines.base import Event, Finished, TurnJob
from gateway.ingress import openai_wire as wire
from gateway.ingress.admission import record_refusal
from gateway.ingress.background import ensure_started
from gateway.ingress.decisions import Decision, decide
from gateway.ingress.edge import ClientGone, EdgeConsumer
from gateway.ingress.requests import validated
from gateway.ingress.running import RunningTurn, runner
from gateway.ingress.transcript import NumberedEvent
from gateway.models import Turn
from gateway.providers.base import (
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.registry import provider_for
from kit.api import error_headers
from kit.errors import ContextTooLong, DomainError, InvalidInput, ProviderError, QuotaExceeded, restore
from kit.tenancy import in_public, in_tenant
from quotas.models import UsageRecord
from quotas.reservations import open_turn
from workspaces.language_models.services import ModelRef, installed_models

T = TypeVar("T")


# Here the request is the client's own, passed on: what the provider finds wrong with it is the client's.
REFUSED_AS_INVALID = {400, 422}


class OneCall:
    """Runs a completion in a turn's clothes: the lease, the close and the stop are the turn's own."""

    name = "none"

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        call = metered_call(
            turn_id=job.turn_id,
            model=job.model.slug,
            provider=provider_for(job.model),
            request=job.request,
            bounds=job.bounds,
        )
        try:
            async with aclosing(call) as events:
                async for event in events:
                    translated = _translate(event)
                    if translated is not None:
                        yield translated
        except ProviderError as exc:
            if exc.details["provider_status"] in REFUSED_AS_INVALID:
                raise InvalidInput("The model's provider refuses these messages or parameters.") from exc
            raise

    async def health(self) -> None:
        return None


def _translate(event: ModelEvent) -> Event | Finished | None:
    match event:
        case TextDelta(text):
            return Event("delta", {"text": text})
        case ReasoningDelta(text):
            return Event("reasoning", {"text": text})
        case ToolCallDelta(calls):
            return Event("tool_calls", {"calls": calls})
        case Finish(reason):
            return Finished(reason)
        case UsageReport():
            return None  # the ledger tells it at the end


class CompletionsConsumer(EdgeConsumer):
    """Streams where `stream` is true; a client that leaves cancels the call."""

    async def handle(self, body: bytes) -> None:
        ensure_started()
        wanted = self._parse(body)
        with runner().slot():
            job = await admit_completion(self.principal, wanted)
            turn = runner().start(job, OneCall())
        envelope = wire.Envelope(job.turn_id, int(time.time()), wanted.model)
        try:
            if wanted.stream:
                await self._stream(turn, envelope, include_usage=wanted.include_usage)
            else:
                await self._send_whole(turn, envelope)
        finally:  # a client that leaves cancels; a finished call takes no harm
            runner().stop(job.turn_id)

    def _parse(self, body: bytes) -> wire.CompletionRequest:
        raw = self.json_body(body)
        return wire.CompletionRequest.from_body(raw, validated(wire.CompletionSerializer, raw))

    async def _stream(self, turn: RunningTurn, envelope: wire.Envelope, *, include_usage: bool) -> None:
        """The first event decides about the status: a provider that refuses is an error, not a stream."""
        events = turn.follow(0)
        begun = await anext(events)
        while not any(event.type != "started" for event in begun):
            begun = await self._or_gone(anext(events))
        refusal = next((event.data["error"] for event in begun if event.type == "error"), None)
        if refusal is not None and not any(event.type == "delta" for event in begun):
            raise restore(refusal)
        await self.send_stream(self._chunks(begun, events, envelope, include_usage))

    async def _chunks(
        self,
        begun: list[NumberedEvent],
        events: AsyncGenerator[list[NumberedEvent], None],
        envelope: wire.Envelope,
        include_usage: bool,
    ) -> AsyncIterator[bytes]:
        yield _line(envelope.chunk({"role": "assistant", "content": ""}))
        usage: dict[str, int] | None = None
        batch: list[NumberedEvent] | None = begun
        while batch is not None:
            for event in batch:
                if event.type == "usage":
                    usage = wire.usage_of(event.data)
                elif (line := _chunk_of(event, envelope, self.origin.request_id)) is not None:
                    yield line
            batch = await anext(events, None)
        if include_usage and usage is not None:
            yield _line(envelope.usage_chunk(usage))
        yield b"data: [DONE]\n\n"

    async def _send_whole(self, turn: RunningTurn, envelope: wire.Envelope) -> None:
        events = await self._or_gone(_collect(turn))
        by_type = {event.type: event.data for event in events}
        if "error" in by_type:
            raise restore(by_type["error"]["error"])
        calls = wire.merge_tool_calls([event.data["calls"] for event in events if event.type == "tool_calls"])
        text = "".join(event.data["text"] for event in events if event.type == "delta")
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        reason = wire.finish_reason_of(by_type["done"]["finish_reason"])
        await self.send_json(200, envelope.whole(message, reason, wire.usage_of(by_type["usage"])))

    async def _or_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for work or for the client to leave, whichever is first."""
        task = asyncio.create_task(work)
        await asyncio.wait({task, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientGone
        return task.result()

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        headers = error_headers(error)
        if isinstance(error, QuotaExceeded):
            headers["x-should-retry"] = "false"  # it will not help before the budget's reset
        await self.send_json(error.status, wire.error_body(error, self.origin.request_id), headers)


async def admit_completion(principal: Principal, wanted: wire.CompletionRequest) -> TurnJob:
    """Decides, bounds and reserves as for a chat; nothing of what is said is stored."""
    installed = await in_tenant(principal.tenant, installed_models, workspace_id=principal.workspace.id)
    decision = decide(principal=principal, model_slug=wanted.model, mcps=(), installed=installed)
    try:
        model = decision.admitted_model()
        request, bounds = await _bound(model, wanted)
        turn_id = await in_tenant(
            principal.tenant,
            write_completion,
            principal=principal,
            decision=decision,
            model=model,
            bounds=bounds,
        )
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=wanted.model)
        raise
    return TurnJob(
        turn_id=turn_id,
        conversation_id=None,
        tenant=principal.tenant,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        model=model,
        request=request,
        bounds=bounds,
        keeps_reply=False,
    )


async def _bound(model: ModelRef, wanted: wire.CompletionRequest) -> tuple[ModelRequest, Bounds]:
    request = ModelRequest(
        model=model.upstream_name,
        messages=wanted.messages,
        max_tokens=wanted.max_tokens or model.output_bound,
        temperature=wanted.temperature,
        tools=wanted.tools,
        extra=wanted.extra,
    )
    bounds = await bound_call(provider_for(model), request)
    if bounds.prompt_is_exact and bounds.prompt + bounds.output > model.context_window:
        raise ContextTooLong(
            context_window=model.context_window, prompt_tokens=bounds.prompt, output_tokens=bounds.output
        )
    return request, bounds


@transaction.atomic
def write_completion(*, principal: Principal, decision: Decision, model: ModelRef, bounds: Bounds) -> UUID:
    turn = Turn.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=Turn.Kind.COMPLETION,
        model=model.slug,
        engine=OneCall.name,
        decision=decision.as_dict(),
    )
    open_turn(
        turn_id=turn.id,
        tenant_id=principal.tenant.id,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        purpose=UsageRecord.Purpose.COMPLETION,
        engine=OneCall.name,
        model=model.slug,
        provider=model.provider,
        prompt_bound=bounds.prompt,
        output_bound=bounds.output,
        lease_seconds=settings.TURN_LEASE_SECONDS,
    )
    return turn.id


async def _collect(turn: RunningTurn) -> list[NumberedEvent]:
    return [event async for batch in turn.follow(0) for event in batch]


def _chunk_of(event: NumberedEvent, envelope: wire.Envelope, request_id: str) -> bytes | None:
    match event.type:
        case "delta":
            return _line(envelope.chunk({"content": event.data["text"]}))
        case "reasoning":
            return _line(envelope.chunk({"reasoning_content": event.data["text"]}))
        case "tool_calls":
            return _line(envelope.chunk({"tool_calls": event.data["calls"]}))
        case "error":
            return _line(wire.error_body(restore(event.data["error"]), request_id))
        case "done" if event.data["finish_reason"] != Turn.FinishReason.ERROR:
            return _line(envelope.chunk({}, wire.finish_reason_of(event.data["finish_reason"])))
    return None


def _line(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
