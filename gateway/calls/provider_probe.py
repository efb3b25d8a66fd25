"""Checks that a provider answers, accepts the key and has the model, before anything is saved."""

from contextlib import aclosing
from uuid import uuid4

from django.conf import settings

from accounts.principals import Principal
from gateway.calls.bounds import Bounds, bound_call, planned
from gateway.calls.metered import metered_call
from gateway.errors import ContextTooLong, ProviderError, ProviderTimeout
from gateway.providers.base import ModelRequest
from gateway.providers.registry import provider_for
from kit.errors import InvalidInput
from kit.tenancy import in_public
from kit.unbroken import unbroken
from quotas.models import UsageRecord
from quotas.planned_calls import Payer
from quotas.reservations import close_turn, open_turn
from workspaces.language_models.probe import register_prober
from workspaces.language_models.queries import ModelRef

QUESTION = [{"role": "user", "content": "Say OK."}]
MOST_TOKENS = 64  # a model may use all of them for reasoning: any output is enough
KEY_REFUSED = {401, 403}
NO_LIST = {400, 404, 405, 501}  # from a provider that answers but lists no models
MODEL_REFUSED = {400, 404, 422}


class ProviderProber:
    """Implements `workspaces.language_models.probe.Prober`."""

    async def reach(self, model: ModelRef) -> None:
        try:
            await provider_for(model).health()
        except ProviderError as exc:
            if exc.details["provider_status"] not in NO_LIST:
                raise _reason(exc, model) from exc

    async def ask(self, principal: Principal, model: ModelRef) -> None:
        await self.reach(model)
        request = ModelRequest(
            model=model.upstream_name, messages=QUESTION, max_tokens=min(MOST_TOKENS, model.output_bound)
        )
        try:
            await _call(principal, model, request, await bound_call(provider_for(model), request, model))
        except ProviderError as exc:
            raise _reason(exc, model, of_model=True) from exc
        except ContextTooLong as exc:
            raise InvalidInput(context_window=["The model rejects even a short message."]) from exc


async def _call(principal: Principal, model: ModelRef, request: ModelRequest, bounds: Bounds) -> None:
    """One metered call in its own reservation, paid by the principal."""
    turn_id = uuid4()
    await in_public(
        open_turn,
        turn_id=turn_id,
        payer=Payer.of(principal),
        call=planned(model, bounds),
        purpose=UsageRecord.Purpose.TEST.value,
        engine="none",
        lease_seconds=settings.PROVIDER_CALL_SECONDS,
    )
    try:
        call = metered_call(
            tenant=principal.tenant, turn_id=turn_id, models=[model], request=request, bounds=bounds
        )
        async with aclosing(call) as events:
            async for _ in events:
                pass
    finally:
        await unbroken(in_public(close_turn, turn_id=turn_id))


def _reason(error: ProviderError, model: ModelRef, *, of_model: bool = False) -> Exception:
    """An error at the field that is wrong; the provider's own text is not repeated."""
    status = error.details["provider_status"]
    if status in KEY_REFUSED:
        return InvalidInput(key=["The provider rejected the API key."])
    if status is None and not isinstance(error, ProviderTimeout) and not of_model:
        return InvalidInput(base_url=[f"No provider responds at this address. {error.text}"])
    if of_model and status in MODEL_REFUSED:
        text = f"The key works, but the provider has no model {model.upstream_name!r}."
        return InvalidInput(upstream_name=[text])
    return error


register_prober(ProviderProber())
