"""A completion as a turn: admitted and reserved like a chat's, one metered call, no stored reply."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.db import transaction

from accounts.principals import Principal
from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.engines.base import Engine, TurnJob
from gateway.engines.events import EngineEvent
from gateway.engines.model_calls import call_model
from gateway.errors import ProviderError
from gateway.models import Turn
from gateway.providers.base import ModelRequest, has_images
from gateway.providers.registry import provider_for
from gateway.turns.admission import job_of, record_refusal, reserve_turn
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.decision import Decision, decide
from kit.errors import DomainError, InvalidInput
from kit.tenancy import in_public, in_tenant
from quotas.limits import Limit
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models, needed_abilities

# The client's own request is passed on, so what the provider rejects in it is the client's mistake.
REFUSED_AS_INVALID = {400, 422}


class OneCall(Engine):
    """Runs one completion as a turn (lease, close, stop)."""

    name = "none"

    async def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        try:
            async with aclosing(call_model(job)) as events:
                async for event in events:
                    yield event
        except ProviderError as exc:
            if exc.details["provider_status"] in REFUSED_AS_INVALID:
                raise InvalidInput("The model's provider refused these messages or parameters.") from exc
            raise


async def admit_completion(
    principal: Principal, completion: CompletionRequest
) -> tuple[TurnJob, list[Limit]]:
    """A turn whose reservation is open, and the limits that it met. Raises the refusal, which is audited."""
    installed = await in_tenant(principal.tenant, installed_models, workspace_id=principal.workspace.id)
    decision = decide(
        principal=principal,
        model_slug=completion.model,
        installed=installed,
        has_images=has_images(completion.messages),
    )
    try:
        model = decision.admitted_model()
        request, bounds = await _bound(model, completion)
        turn, limits = await in_tenant(
            principal.tenant,
            write_completion,
            principal=principal,
            decision=decision,
            model=model,
            bounds=bounds,
        )
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=completion.model)
        raise
    needed = needed_abilities(tools=bool(completion.tools), images=has_images(completion.messages))
    models = tuple(fallback_chain(model, installed, principal, needed))
    return job_of(turn, principal=principal, models=models, request=request, bounds=bounds), limits


async def _bound(model: ModelRef, completion: CompletionRequest) -> tuple[ModelRequest, Bounds]:
    request = ModelRequest(
        model=model.upstream_name,
        messages=completion.messages,
        max_tokens=completion.max_tokens or model.output_bound,
        temperature=completion.temperature,
        tools=completion.tools,
        extra=completion.extra,
    )
    return request, expect_fit(model, await bound_call(provider_for(model), request, model))


@transaction.atomic
def write_completion(
    *, principal: Principal, decision: Decision, model: ModelRef, bounds: Bounds
) -> tuple[Turn, list[Limit]]:
    turn = Turn.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=Turn.Kind.COMPLETION,
        model=model.slug,
        model_id=model.id,
        engine=OneCall.name,
        decision=decision.as_dict(),
    )
    return turn, reserve_turn(turn, principal=principal, model=model, bounds=bounds)
