"""The one metered model call, shared by every engine: hold, send, stream, settle by the provider's count."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError

from gateway.providers.base import (
    Finish,
    ModelEvent,
    ModelRequest,
    Notice,
    Provider,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.registry import provider_for
from kit.errors import ContextTooLong, ProviderError
from kit.tenancy import in_public
from kit.unbroken import unbroken
from quotas.calls import PlannedCall
from quotas.holds import hold_call, mark_sent, note_streamed
from quotas.models import UsageRecord
from quotas.prices import Usage
from quotas.settling import release_call, settle_call
from workspaces.language_models.services import ModelRef

Exactness = UsageRecord.Exactness
log = structlog.get_logger(__name__)
# A provider counts by a tokenizer of its own, adds instructions of its own, reasons beyond the bound: within
# this it is believed, and the excess flagged.
ABSURD_TIMES, ABSURD_BEYOND = 10, 100_000
COUNT_SECONDS = 1.0  # how long the tokenizer may take over what has streamed
NOT_THE_PROVIDERS_FAULT = {400, 413, 422}  # another provider would find the same wrong with the request
NOTE_SECONDS = 2.0  # how often the streamed amount is written down, for a write-off should we die


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a call may cost at most, in tokens; `prompt_is_exact` when a tokenizer counted it."""

    prompt: int
    output: int
    prompt_is_exact: bool = False


async def bound_call(provider: Provider, request: ModelRequest) -> Bounds:
    """Counts the prompt by the model's tokenizer where it is at hand, else bounds it by its bytes."""
    counted = await provider.count_prompt(request)
    if counted is None:
        return Bounds(prompt=request.byte_bound, output=request.max_tokens)
    return Bounds(prompt=counted, output=request.max_tokens, prompt_is_exact=True)


def planned(model: ModelRef, bounds: Bounds) -> PlannedCall:
    """The call as quotas are asked for it."""
    return PlannedCall(
        model=model.slug,
        provider=model.provider,
        upstream_name=model.upstream_name,
        prompt_bound=bounds.prompt,
        output_bound=bounds.output,
    )


def with_defaults(request: ModelRequest, model: ModelRef) -> ModelRequest:
    """The request to this model: within its output bound, with the workspace's parameters for it."""
    kept = dict(model.parameters)
    temperature = kept.pop("temperature", None)
    return replace(
        request,
        model=model.upstream_name,
        max_tokens=min(request.max_tokens, model.output_bound),
        temperature=temperature if request.temperature is None else request.temperature,
        extra={**kept, **request.extra},
    )


def expect_fit(model: ModelRef, bounds: Bounds) -> Bounds:
    """The bounds, unless the model's tokenizer says that the call goes beyond its window: ContextTooLong."""
    if bounds.prompt_is_exact and bounds.prompt + bounds.output > model.context_window:
        raise ContextTooLong(
            context_window=model.context_window, prompt_tokens=bounds.prompt, output_tokens=bounds.output
        )
    return bounds


@dataclass(frozen=True, slots=True)
class Held:
    """The budget covers the call: it goes to the provider now."""


MeteredEvent = ModelEvent | Held


async def metered_call(
    *,
    turn_id: UUID,
    models: Sequence[ModelRef],
    request: ModelRequest,
    bounds: Bounds | None = None,
    fingerprint: str = "",
) -> AsyncGenerator[MeteredEvent, None]:
    """Streams the events of the first of `models` that answers; each attempt ends settled or released.

    `models` are the one that was asked for and those that stand in for it; `bounds` are the first one's,
    where they are known. A model that fails before its first word hands over to the next, which is told by a
    Notice and held anew; one into whose window the call does not fit is passed over. The settlement is
    committed before the final UsageReport and Finish are given on.

    Raises QuotaExceeded before anything is sent, ProviderError, ContextTooLong; RepeatedCall for a request,
    known by its `fingerprint`, that the turn has made too often. Closing the iterator cancels the call
    upstream and charges the prompt and what streamed.
    """
    failure: tuple[ModelRef, ProviderError] | None = None
    for model in models:
        begun = False
        try:
            provider = provider_for(model)
            asked = with_defaults(request, model)
            known = bounds if bounds and failure is None else await bound_call(provider, asked)
            if failure is not None:
                expect_fit(model, known)
                yield _fallback(*failure, model)
            attempt = _Attempt(turn_id, model, provider, asked, known)
            async with aclosing(attempt.run(fingerprint)) as events:
                async for event in events:
                    begun = begun or not isinstance(event, Notice | Held)
                    yield event
            return
        except ContextTooLong:
            if begun or failure is None:
                raise
        except ProviderError as exc:
            if begun or exc.details["provider_status"] in NOT_THE_PROVIDERS_FAULT:
                raise
            failure = model, exc
    if failure is not None:
        raise failure[1]


def _fallback(failed: ModelRef, error: ProviderError, model: ModelRef) -> Notice:
    status = error.details["provider_status"]
    return Notice("fallback", {"from": failed.slug, "to": model.slug, "provider_status": status})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One model's answer to the call, with a hold of its own."""

    turn_id: UUID
    model: ModelRef
    provider: Provider
    request: ModelRequest
    bounds: Bounds

    async def run(self, fingerprint: str) -> AsyncGenerator[MeteredEvent, None]:
        call = _Call(call_id=uuid4(), provider=self.provider, bounds=self.bounds)
        try:
            # A thread that holds cannot be called off: what it took is given back.
            await unbroken(self._hold(call.id, fingerprint))
            await in_public(mark_sent, call_id=call.id)
            yield Held()
        except BaseException:  # nothing was sent, so nothing is charged
            await unbroken(in_public(release_call, call_id=call.id))
            raise
        try:
            async with aclosing(self.provider.stream(self.request)) as events:
                async for event in events:
                    if call.passes_on(event):
                        yield event
                    await call.note_progress()
        except (ProviderError, ContextTooLong) as exc:
            await unbroken(call.end_failed(exc))
            raise
        except BaseException:  # stopped, or closed by its reader: the provider has worked until here
            await unbroken(call.settle_estimate())
            raise
        usage = await unbroken(call.settle_final())
        yield UsageReport(usage.input_tokens, usage.output_tokens)
        yield Finish(call.finish_reason)

    async def _hold(self, call_id: UUID, fingerprint: str) -> None:
        await in_public(
            hold_call,
            turn_id=self.turn_id,
            call_id=call_id,
            call=planned(self.model, self.bounds),
            fingerprint=fingerprint,
        )


class _Call:
    """Counts one call while it streams."""

    def __init__(self, *, call_id: UUID, provider: Provider, bounds: Bounds) -> None:
        self.id = call_id
        self.provider = provider
        self.bounds = bounds
        self.report: UsageReport | None = None
        self.finish_reason = "stop"
        self.pieces: list[str] = []
        self._noted_at = time.monotonic()

    def passes_on(self, event: ModelEvent) -> bool:
        """Notes an event; the end is held back until the settlement is committed."""
        match event:
            case UsageReport():
                self.report = event
                return False
            case Finish(reason):
                self.finish_reason = reason
                return False
            case TextDelta(text) | ReasoningDelta(text):
                self.pieces.append(text)
            case ToolCallDelta(calls):
                self.pieces.append("".join(_tool_text(call) for call in calls))
        return True

    async def note_progress(self) -> None:
        if time.monotonic() - self._noted_at < NOTE_SECONDS:
            return
        self._noted_at = time.monotonic()
        try:
            await in_public(note_streamed, call_id=self.id, streamed_tokens=len(self.pieces))
        except DatabaseError as exc:  # only a write-off would miss it; the reply goes on
            log.warning("streamed amount was not noted", call_id=str(self.id), error=type(exc).__name__)

    async def end_failed(self, error: Exception) -> None:
        """A refused call costs nothing; one that broke off costs what it did until then."""
        did_no_work = not isinstance(error, ProviderError) or error.did_no_work
        if did_no_work and not self.pieces:
            await in_public(release_call, call_id=self.id)
        else:
            await self.settle_estimate()

    async def settle_final(self) -> Usage:
        usage = await self.final_usage()
        await self.settle(usage)
        return usage

    async def settle_estimate(self) -> None:
        await self.settle(await self.estimate())

    async def settle(self, usage: Usage) -> None:
        await in_public(settle_call, call_id=self.id, usage=usage)

    async def final_usage(self) -> Usage:
        """The provider's count, unless it gave none or less output than we saw stream by."""
        if self.report is None:
            usage = await self.estimate()
            return Usage(usage.input_tokens, usage.output_tokens, Exactness.UNREPORTED)
        if self._is_absurd(self.report):
            log.warning("absurd usage was not believed", call_id=str(self.id), provider=self.provider.name)
            return replace(await self.estimate(), exactness=Exactness.ESTIMATED)
        seen = await self._counted_output() if self._is_suspicious(self.report) else 0
        if seen > self.report.output_tokens:
            return replace(
                _reported(self.report), output_tokens=seen, exactness=UsageRecord.Exactness.ESTIMATED
            )
        return _reported(self.report)

    async def estimate(self) -> Usage:
        """By what the provider told so far of the prompt, else by its bound, and what streamed."""
        believed = self.report is not None and not self._is_absurd(self.report)
        told = _reported(self.report) if self.report and believed else Usage(self.bounds.prompt, 0)
        seen = await self._counted_output()
        return replace(told, output_tokens=seen, exactness=Exactness.ESTIMATED)

    def _is_absurd(self, report: UsageReport) -> bool:
        """More than any counting of this request could come to: a mistake of the provider's, or a lie."""
        most = ABSURD_TIMES * (self.bounds.prompt + self.bounds.output) + ABSURD_BEYOND
        return report.input_tokens + report.output_tokens > most

    def _is_suspicious(self, report: UsageReport) -> bool:
        return report.output_tokens < len(self.pieces)

    async def _counted_output(self) -> int:
        """What streamed, by the tokenizer; without one, a token for each piece, as providers send them."""
        if not self.pieces:
            return 0
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                counted = await self.provider.count_text("".join(self.pieces))
        except TimeoutError:  # whoever stopped the turn is waiting
            counted = None
        return len(self.pieces) if counted is None else counted


def _reported(report: UsageReport) -> Usage:
    return Usage(
        report.input_tokens,
        report.output_tokens,
        cached_tokens=report.cached_tokens,
        reasoning_tokens=report.reasoning_tokens,
    )


def _tool_text(call: dict[str, object]) -> str:
    function = call.get("function")
    return f"{function.get('name', '')}{function.get('arguments', '')}" if isinstance(function, dict) else ""
