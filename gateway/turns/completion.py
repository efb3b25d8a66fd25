"""A completion as a turn: admitted and reserved like a chat's, one metered call, nothing of it kept."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from django.db import transaction

from accounts.principals import Principal
from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.engines.base import Event, Finished, Thread, TurnJob
from gateway.engines.check_steps import OK, Step
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

# Here the request is the client's own, passed on: what the provider finds wrong with it is the client's.
REFUSED_AS_INVALID = {400, 422}


class OneCall:
    """Runs a completion in a turn's clothes: the lease, the close and the stop are the turn's own."""

    name = "none"
    runs_tools = False
    has_accounts = False
    outlives_us = False

    async def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        try:
            async with aclosing(call_model(job)) as events:
                async for event in events:
                    yield event
        except ProviderError as exc:
            if exc.details["provider_status"] in REFUSED_AS_INVALID:
                raise InvalidInput("The model's provider refused these messages or parameters.") from exc
            raise

    async def stop(self, job: TurnJob) -> None:
        """Closing `run` has cancelled the call already."""

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        return None

    async def rename(self, thread: Thread, title: str) -> None:
        """A completion has no conversation."""

    async def delete(self, thread: Thread) -> None:
        """A completion has no conversation."""

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        """A completion has no MCP servers."""

    async def health(self) -> None:
        return None

    async def check(self) -> AsyncGenerator[Step, None]:
        yield Step("engine", OK, "A completion needs none.")


async def admit_completion(principal: Principal, wanted: CompletionRequest) -> tuple[TurnJob, list[Limit]]:
    """Raises the refusal (audited), or returns a turn whose reservation is open, with the limits it met."""
    installed = await in_tenant(principal.tenant, installed_models, workspace_id=principal.workspace.id)
    decision = decide(
        principal=principal,
        model_slug=wanted.model,
        mcps=(),
        installed=installed,
        has_images=has_images(wanted.messages),
    )
    try:
        model = decision.admitted_model()
        request, bounds = await _bound(model, wanted)
        turn, limits = await in_tenant(
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
    needed = needed_abilities(tools=bool(wanted.tools), images=has_images(wanted.messages))
    models = tuple(fallback_chain(model, installed, principal, needed))
    return job_of(turn, principal=principal, models=models, request=request, bounds=bounds), limits


async def _bound(model: ModelRef, wanted: CompletionRequest) -> tuple[ModelRequest, Bounds]:
    request = ModelRequest(
        model=model.upstream_name,
        messages=wanted.messages,
        max_tokens=wanted.max_tokens or model.output_bound,
        temperature=wanted.temperature,
        tools=wanted.tools,
        extra=wanted.extra,
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
        engine=OneCall.name,
        decision=decision.as_dict(),
    )
    return turn, reserve_turn(turn, principal=principal, model=model, bounds=bounds)
