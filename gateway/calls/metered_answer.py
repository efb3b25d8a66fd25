"""One metered call with an unstreamed answer: hold, send, settle by the provider's count."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

import structlog

from gateway.calls.bounds import Bounds, planned
from gateway.calls.prompt_estimate import PromptEstimate
from gateway.calls.token_count import Exactness, Flag, Streamed, final_usage, partial_usage
from gateway.errors import ProviderError
from gateway.providers.base import UsageReport
from kit.database_retry import patiently
from kit.errors import DomainError
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from quotas.hold_states import mark_sent, release_call, settle_call
from quotas.holds import hold_call
from quotas.prices import Usage
from workspaces.language_models.queries import ModelRef

log = structlog.get_logger(__name__)


class Answer(Protocol):
    """A provider's answer; `usage` None: it reported no count."""

    @property
    def usage(self) -> UsageReport | None: ...


A = TypeVar("A", bound=Answer)


async def metered_answer(
    *,
    tenant: TenantRef,
    turn_id: UUID,
    model: ModelRef,
    bounds: Bounds,
    estimate: PromptEstimate | None,
    ask: Callable[[], Awaitable[A]],
) -> A:
    """The answer of `ask`, once its settlement is committed. There is no fallback model.

    Raises QuotaExceeded before anything is sent, and what `ask` raises. A refused call costs nothing; one
    that broke off, or was cancelled after it was sent, costs its estimate.
    """
    call = _Call(tenant, turn_id, model, bounds, estimate)
    try:
        await unbroken(call.hold())
        await patiently(in_tenant, tenant, mark_sent, call_id=call.id)
    except BaseException:  # nothing was sent, so nothing is charged
        await unbroken(call.release())
        raise
    try:
        answer = await ask()
    except DomainError as exc:
        did_no_work = not isinstance(exc, ProviderError) or exc.did_no_work
        await unbroken(call.release() if did_no_work else call.settle_estimate())
        raise
    except BaseException:  # cancelled: the provider has already worked
        await unbroken(call.settle_estimate())
        raise
    await unbroken(call.settle_final(answer.usage))
    return answer


class _Call:
    """The hold of one call, and its end."""

    def __init__(
        self,
        tenant: TenantRef,
        turn_id: UUID,
        model: ModelRef,
        bounds: Bounds,
        estimate: PromptEstimate | None,
    ) -> None:
        self.id = uuid4()
        self.tenant, self.turn_id, self.model = tenant, turn_id, model
        self.bounds, self.estimate = bounds, estimate

    async def hold(self) -> None:
        call = planned(self.model, self.bounds)
        await patiently(in_tenant, self.tenant, hold_call, turn_id=self.turn_id, call_id=self.id, call=call)

    async def release(self) -> None:
        await patiently(in_tenant, self.tenant, release_call, call_id=self.id)

    async def settle_estimate(self) -> None:
        await self._settle(partial_usage(None, self.bounds, Streamed(), None))

    async def settle_final(self, report: UsageReport | None) -> None:
        usage = final_usage(report, self.bounds, Streamed(), None)
        if self.estimate and usage.exactness == Exactness.EXACT:
            self.estimate.learn(usage.input_tokens)
        if usage.flag:
            log.warning(
                "a call was flagged", call_id=str(self.id), provider=self.model.provider, flag=usage.flag
            )
        await self._settle(usage)

    async def _settle(self, usage: Usage) -> None:
        if not usage.flag and usage.total > self.bounds.prompt:
            usage = replace(usage, flag=Flag.OVERRUN)
        await patiently(in_tenant, self.tenant, settle_call, call_id=self.id, usage=usage)
