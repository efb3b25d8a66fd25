"""The one metered model call, shared by every engine: hold, send, stream, settle by the provider's count."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import structlog

from gateway.calls.bounds import Bounds, bound_call, expect_fit, planned, with_defaults
from gateway.calls.call_notes import call_notes
from gateway.calls.cover import Cover
from gateway.calls.late_counts import reading_on
from gateway.calls.prompt_estimate import PromptEstimate, estimate_prompt
from gateway.calls.pump import Pump, merged
from gateway.calls.token_count import (
    Exactness,
    Flag,
    Streamed,
    call_text,
    final_usage,
    is_plausible,
    partial_usage,
)
from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.base import (
    Answering,
    Extra,
    Finish,
    ModelEvent,
    ModelRequest,
    Notice,
    Provider,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Unread,
    UsageReport,
)
from gateway.providers.registry import provider_for
from gateway.providers.sizes import (
    FEW_PIECES,
    MOST_EXTRA_BYTES,
    encoded,
    most_in_few_pieces,
    most_pieces,
    most_streamed,
)
from kit.database_retry import patiently
from kit.errors import AtCapacity, InvalidInput
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from quotas.hold_states import mark_sent, release_call, settle_call
from quotas.holds import hold_call
from quotas.prices import Usage
from workspaces.language_models.queries import ModelRef

log = structlog.get_logger(__name__)
COUNT_SECONDS = 1.0  # that the tokenizer may take to count the streamed text
FAULTS_OF_THE_REQUEST = {400, 413, 422}  # another provider would refuse it as well
MOST_TOOL_CALLS = 256  # of one reply
TEXTS = (TextDelta, ReasoningDelta, RefusalDelta)


@dataclass(frozen=True, slots=True)
class Held:
    """The budget covers the call: it is sent to the provider now."""


MeteredEvent = ModelEvent | Held


async def metered_call(
    *,
    tenant: TenantRef,
    turn_id: UUID,
    models: Sequence[ModelRef],
    request: ModelRequest,
    bounds: Bounds | None = None,
    fingerprint: str = "",
) -> AsyncGenerator[MeteredEvent, None]:
    """Streams the events of the first of `models` that answers; each attempt ends settled or released.

    `models` are the requested one and its fallbacks; `bounds` are the first model's, if they are known. A
    model that fails before its first output is replaced by the next, with a Notice and a new hold; a fallback
    whose context window is too small is skipped. The settlement is committed before the final UsageReport and
    Finish are yielded.

    Raises QuotaExceeded before anything is sent, ProviderError, ContextTooLong; RepeatedCall if the turn has
    made the request with this `fingerprint` too often; AtCapacity if a limit of ours prevented the call. If
    the iterator is closed early, the reply is read on for a moment to get the provider's own count; without
    it the prompt estimate and the streamed output are charged.
    A reply that exceeds its bound by far, or by more than the budget allows, is cut off and ends with the
    reason `length`.
    """
    failure: tuple[ModelRef, ProviderError] | None = None
    for model in models:
        begun = False
        try:
            provider = provider_for(model)
            asked = with_defaults(request, model)
            known = bounds if bounds and failure is None else await bound_call(provider, asked, model)
            if failure is not None:
                expect_fit(model, known)
                yield _fallback(*failure, model)
            known, prompt = await estimate_prompt(provider, asked, model, known)
            attempt = _Attempt(tenant, turn_id, model, provider, asked, known, prompt)
            async with aclosing(attempt.run(fingerprint)) as events:
                async for event in events:
                    if not begun and not isinstance(event, Notice | Held):
                        begun = True
                        yield Answering(model.slug, provider.name, str(attempt.call_id))
                    yield event
            return
        except ContextTooLong:
            if begun or failure is None:
                raise
        except ProviderError as exc:
            log.warning(
                "a model call failed", turn_id=str(turn_id), model=model.slug, error=exc.text, **exc.details
            )
            if begun or exc.details["provider_status"] in FAULTS_OF_THE_REQUEST:
                raise
            failure = model, exc
    if failure is not None:
        raise failure[1]


def _fallback(failed: ModelRef, error: ProviderError, model: ModelRef) -> Notice:
    status = error.details["provider_status"]
    return Notice("fallback", {"from": failed.slug, "to": model.slug, "provider_status": status})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One model's attempt at the call, with its own hold."""

    tenant: TenantRef
    turn_id: UUID
    model: ModelRef
    provider: Provider
    request: ModelRequest
    bounds: Bounds
    prompt: PromptEstimate | None
    call_id: UUID = field(default_factory=uuid4)

    async def run(self, fingerprint: str) -> AsyncGenerator[MeteredEvent, None]:
        call = _Call(
            call_id=self.call_id,
            tenant=self.tenant,
            turn_id=self.turn_id,
            provider=self.provider,
            bounds=self.bounds,
            prompt=self.prompt,
        )
        try:
            # The thread that takes the hold cannot be cancelled, so a hold may have to be released.
            await unbroken(self._hold(call.id, fingerprint))
            await patiently(in_tenant, self.tenant, mark_sent, call_id=call.id)
            yield Held()
        except BaseException:  # nothing was sent, so nothing is charged
            await unbroken(call.release())
            raise
        pump = Pump(self.provider.stream(self.request))
        try:
            with call_notes().noting(call):
                while not call.is_cut_off and (batch := await pump.next_batch()) is not None:
                    for event in merged(await call.take_in(batch)):
                        yield event
        except (ProviderError, InvalidInput, AtCapacity) as exc:  # ContextTooLong is an InvalidInput
            await unbroken(call.end_failed(exc))
            raise
        except BaseException:  # stopped, or closed by its reader: the provider has worked until now
            await unbroken(_leave(call, pump))
            raise
        usage = await unbroken(_end(call, pump))
        yield UsageReport(
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens
        )
        yield Finish(call.finish_reason)

    async def _hold(self, call_id: UUID, fingerprint: str) -> None:
        await patiently(
            in_tenant,
            self.tenant,
            hold_call,
            turn_id=self.turn_id,
            call_id=call_id,
            call=planned(self.model, self.bounds),
            fingerprint=fingerprint,
        )


async def _leave(call: "_Call", pump: Pump) -> None:
    """The reader has left: the reply is read on in the background, or ends now."""
    if not await reading_on().take(call, pump):
        await call.take_in(await pump.close())
        await call.settle_estimate()


async def _end(call: "_Call", pump: Pump) -> Usage:
    await pump.close()
    return await call.settle_final()


class _Call:
    """Counts one call while it streams."""

    def __init__(
        self,
        *,
        call_id: UUID,
        tenant: TenantRef,
        turn_id: UUID,
        provider: Provider,
        bounds: Bounds,
        prompt: PromptEstimate | None,
    ) -> None:
        self.id = call_id
        self.tenant = tenant
        self.turn_id = turn_id
        self.provider = provider
        self.bounds = bounds
        self._prompt = prompt
        self.report: UsageReport | None = None
        self.finish_reason = "stop"
        self.is_cut_off = False
        self._streamed = Streamed()
        self._texts: list[str] = []  # for the tokenizer, if there is one
        self._tool_calls: set[object] = set()
        self._cover = Cover(tenant, self.id, bounds)
        self._most_bytes, self._most_pieces = most_streamed(bounds.output), most_pieces(bounds.output)
        self._most_in_few = most_in_few_pieces(bounds.output)

    @property
    def streamed_tokens(self) -> int:
        return self._streamed.tokens

    async def take_in(self, batch: Iterable[ModelEvent]) -> list[ModelEvent]:
        """Counts the events, and returns those that are for the reader.

        The end is held back until the settlement is committed. Output beyond the byte limit of a reply, or
        beyond the budget, is not passed on, and cuts the reply off.
        """
        passed_on: list[ModelEvent] = []
        for event in () if self.is_cut_off else batch:
            before = self._streamed.bytes
            self._count(event)
            if self._is_beyond():
                self._cut_off()
                rest = self._allowed_bytes - before
                if isinstance(event, TEXTS) and (text := _cut(event.text, rest)):
                    passed_on.append(type(event)(text))
                break
            if not isinstance(event, UsageReport | Finish | Unread):
                passed_on.append(event)
            if not await self._cover.reaches(self.streamed_tokens):
                self._cut_off()
                break
        return passed_on

    def _cut_off(self) -> None:
        self.is_cut_off, self.finish_reason = True, "length"

    def _count(self, event: ModelEvent) -> None:
        match event:
            case UsageReport():
                self.report = event
            case Finish(reason):
                self.finish_reason = reason
            case TextDelta(text) | ReasoningDelta(text) | RefusalDelta(text):
                self._streamed.add_text(text)
                self._collect(text)
            case Extra(_, _, value):
                self._streamed.add_extra(len(encoded({"": value})))
            case ToolCallDelta(calls):
                self._streamed.add_calls(calls)
                self._tool_calls.update(call.get("index") for call in calls)
                self._collect("".join(call_text(call) for call in calls))
            case Unread(size):
                self._streamed.add_unread(min(size, max(0, self._most_bytes - self._streamed.bytes)))

    def _collect(self, text: str) -> None:
        if self.provider.has_tokenizer:
            self._texts.append(text)

    @property
    def _allowed_bytes(self) -> int:
        return self._most_in_few if self._streamed.pieces <= FEW_PIECES else self._most_bytes

    def _is_beyond(self) -> bool:
        return (
            self._streamed.bytes > self._allowed_bytes
            or self._streamed.pieces > self._most_pieces
            or self._streamed.extra_bytes > MOST_EXTRA_BYTES
            or len(self._tool_calls) > MOST_TOOL_CALLS
        )

    async def read_on(self, pump: Pump, most_bytes: int) -> bool:
        """Counts the rest, at most `most_bytes` more; True if the reply was read to its end."""
        most = self._streamed.bytes + most_bytes
        while self._streamed.bytes <= most and not self.is_cut_off:
            batch = await pump.next_batch()
            if batch is None:
                return True
            await self.take_in(batch)
        return False

    async def end_failed(self, error: Exception) -> None:
        """A refused call costs nothing; one that broke off costs what was done until then."""
        did_no_work = not isinstance(error, ProviderError) or error.did_no_work
        if did_no_work and not self._streamed.pieces:
            await self.release()
        else:
            await self.settle_estimate()

    async def settle_final(self) -> Usage:
        """Charges a reply that was complete, or cut off."""
        if self.is_cut_off:
            usage = await self._partial(Flag.CUT_OFF)
        else:
            is_doubtful = self.report is None or not is_plausible(self.report, self.bounds, self._streamed)
            counted = await self._counted_output() if is_doubtful else None
            usage = final_usage(self.report, self.bounds, self._streamed, counted)
        if self._prompt and usage.exactness == Exactness.EXACT:
            self._prompt.learn(usage.input_tokens)
        if usage.flag:
            log.warning(
                "a call was flagged", call_id=str(self.id), provider=self.provider.name, flag=usage.flag
            )
        await self.settle(usage)
        return usage

    async def settle_estimate(self) -> None:
        await self.settle(await self._partial(Flag.CUT_OFF if self.is_cut_off else ""))

    async def _partial(self, flag: str) -> Usage:
        counted = await self._counted_output()
        return partial_usage(self.report, self.bounds, self._streamed, counted, flag=flag)

    async def settle(self, usage: Usage) -> None:
        """An overrun is measured against the first bound: the hold may have been extended since."""
        if not usage.flag and usage.total > self.bounds.prompt + self.bounds.output:
            usage = replace(usage, flag=Flag.OVERRUN)
        await patiently(in_tenant, self.tenant, settle_call, call_id=self.id, usage=usage)

    async def release(self) -> None:
        await patiently(in_tenant, self.tenant, release_call, call_id=self.id)

    async def _counted_output(self) -> int | None:
        """The tokenizer's count of the streamed text; None without one, or if it takes too long."""
        if not self._texts:
            return None
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                return await self.provider.count_text("".join(self._texts))
        except TimeoutError:  # the person who stopped the turn is waiting
            return None


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[: max(0, most_bytes)].decode("utf-8", "ignore")
