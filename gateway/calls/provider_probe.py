"""Checks that a provider answers, accepts the key and has the model, before anything is saved."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings

from accounts.principals import Principal
from gateway.calls.bounds import Bounds, bound_call, planned
from gateway.calls.input_bounds import bound_inputs
from gateway.calls.metered import metered_call
from gateway.calls.metered_answer import Answer, metered_answer
from gateway.errors import ContextTooLong, ProviderError, ProviderTimeout
from gateway.providers.base import ModelRequest
from gateway.providers.embeddings import EmbeddingRequest, embed
from gateway.providers.moderations import ModerationRequest, moderate
from gateway.providers.registry import asked_provider, provider_for
from kit.errors import InvalidInput
from kit.tenancy import in_public
from kit.unbroken import unbroken
from quotas.models import UsageRecord
from quotas.planned_calls import Payer
from quotas.reservations import close_turn, open_turn
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.probe import register_prober
from workspaces.language_models.queries import ModelRef

TEXT = "Say OK."
QUESTION = [{"role": "user", "content": TEXT}]
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
        try:
            await ASKS[model.kind](principal, model)
        except ProviderError as exc:
            raise _reason(exc, model, of_model=True) from exc
        except ContextTooLong as exc:
            raise InvalidInput(context_window=["The model rejects even a short message."]) from exc


async def _chat(principal: Principal, model: ModelRef) -> None:
    request = ModelRequest(
        model=model.upstream_name, messages=QUESTION, max_tokens=min(MOST_TOKENS, model.output_bound)
    )
    bounds = await bound_call(provider_for(model), request, model)
    async with _reservation(principal, model, bounds) as turn_id:
        call = metered_call(
            tenant=principal.tenant, turn_id=turn_id, models=[model], request=request, bounds=bounds
        )
        async with aclosing(call) as events:
            async for _ in events:
                pass


async def _embed(principal: Principal, model: ModelRef) -> None:
    request = EmbeddingRequest(model.upstream_name, [TEXT])
    await _ask_whole(principal, model, partial(embed, asked_provider(model), request))


async def _moderate(principal: Principal, model: ModelRef) -> None:
    request = ModerationRequest(model.upstream_name, TEXT, expected=1)
    await _ask_whole(principal, model, partial(moderate, asked_provider(model), request))


async def _ask_whole(principal: Principal, model: ModelRef, ask: Callable[[], Awaitable[Answer]]) -> None:
    bounds, estimate = await bound_inputs(model, [TEXT], {})
    if model.kind == LanguageModel.Kind.MODERATION:
        bounds = replace(bounds, least=0)
    async with _reservation(principal, model, bounds) as turn_id:
        await metered_answer(
            tenant=principal.tenant,
            turn_id=turn_id,
            model=model,
            bounds=bounds,
            estimate=estimate,
            ask=ask,
        )


ASKS = {
    LanguageModel.Kind.CHAT.value: _chat,
    LanguageModel.Kind.EMBEDDING.value: _embed,
    LanguageModel.Kind.MODERATION.value: _moderate,
}


@asynccontextmanager
async def _reservation(principal: Principal, model: ModelRef, bounds: Bounds) -> AsyncIterator[UUID]:
    """For one metered call, paid by the principal."""
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
        yield turn_id
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
