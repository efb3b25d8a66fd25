"""A completion as a turn: admitted and reserved like a chat's, one metered call, no stored reply."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.principals import Principal
from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.calls.tool_names import offer_tools
from gateway.engines.base import Engine, TurnJob
from gateway.engines.direct.engine import run_loop
from gateway.engines.events import EngineEvent
from gateway.engines.model_calls import call_model
from gateway.models import Turn
from gateway.providers.base import ModelRequest, has_images
from gateway.providers.registry import provider_for
from gateway.providers.tool_calls import tool_name
from gateway.turns.admission import Admitted, job_of, record_refusal, reserve_turn
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.context import find_keyed, requested_servers
from gateway.turns.decision import Decision, RequestedServers, decide
from gateway.turns.stored_response import place_turn, record_response
from gateway.turns.truncation import fit_by_truncation
from gateway.turns.workspace_tools import ChosenServer, narrowed
from kit.errors import DomainError, InvalidInput
from kit.tenancy import in_public, in_tenant
from quotas.limits import Limit
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models, needed_abilities
from workspaces.mcp_servers.queries import ServerRef


class OneCall(Engine):
    """Runs one completion as a turn (lease, close, stop).

    Where the client asks for tools of the workspace's MCP servers, they run here, and the model is called
    again with their results.
    """

    name = "none"
    runs_tools = True

    async def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        events = run_loop(job, _client_tools(job)) if job.servers else call_model(job)
        async with aclosing(events):
            async for event in events:
                yield event


def _client_tools(job: TurnJob) -> frozenset[str]:
    """The names of the tools that the client defined and runs itself."""
    offered = {tool.wire_name for tool in job.tools}
    return frozenset(name for tool in job.request.tools if (name := tool_name(tool)) not in offered)


async def admit_completion(
    principal: Principal, completion: CompletionRequest, *, idempotency_key: str | None = None
) -> Admitted:
    """A turn whose reservation is open, or an earlier one with the same key.

    Raises the refusal, which is audited.
    """
    if idempotency_key is None:
        return await _admit(principal, completion)
    replay = partial(_find_replay, principal, completion, idempotency_key)
    if (earlier := await in_tenant(principal.tenant, replay)) is None:
        try:
            return await _admit(principal, completion, idempotency_key=idempotency_key)
        except IntegrityError:  # a request with the same key was faster
            if (earlier := await in_tenant(principal.tenant, replay)) is None:
                raise
    return Admitted(turn_id=earlier, job=None)


async def _admit(
    principal: Principal, completion: CompletionRequest, *, idempotency_key: str | None = None
) -> Admitted:
    installed, servers = await in_tenant(
        principal.tenant, read_choices, principal=principal, chosen=completion.servers
    )
    decision = decide(
        principal=principal,
        model_slug=completion.model,
        installed=installed,
        servers=servers,
        has_images=has_images(completion.messages),
    )
    try:
        model = decision.admitted_model()
        offered = narrowed(servers.enabled, completion.servers)
        request, bounds = await _bound(model, completion, offered)
        turn, limits = await in_tenant(
            principal.tenant,
            write_completion,
            principal=principal,
            completion=completion,
            decision=decision,
            model=model,
            bounds=bounds,
            idempotency_key=idempotency_key,
        )
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=completion.model)
        raise
    needed = needed_abilities(tools=bool(request.tools), images=has_images(completion.messages))
    models = tuple(fallback_chain(model, installed, principal, needed))
    job = job_of(turn, principal=principal, models=models, request=request, bounds=bounds, servers=offered)
    return Admitted(turn_id=turn.id, job=job, limits=tuple(limits))


def _find_replay(principal: Principal, completion: CompletionRequest, key: str) -> UUID | None:
    """The turn that has the key. IdempotencyConflict if it answers another body."""
    replay = find_keyed(principal, key, completion.body_hash)
    return replay.turn_id if replay else None


def read_choices(
    *, principal: Principal, chosen: Sequence[ChosenServer]
) -> tuple[list[ModelRef], RequestedServers]:
    installed = installed_models(workspace_id=principal.workspace.id)
    return installed, requested_servers(principal, tuple(one.slug for one in chosen))


async def _bound(
    model: ModelRef, completion: CompletionRequest, servers: Sequence[ServerRef]
) -> tuple[ModelRequest, Bounds]:
    request, provider = request_of(model, completion, servers), provider_for(model)
    if completion.truncates:
        return await fit_by_truncation(provider, request, model)
    return request, expect_fit(model, await bound_call(provider, request, model))


def request_of(model: ModelRef, completion: CompletionRequest, servers: Sequence[ServerRef]) -> ModelRequest:
    """InvalidInput if a tool of the client's has the name of one of the workspace's."""
    offered = offer_tools(servers)
    names = {tool.wire_name for tool in offered}
    if twice := next((name for tool in completion.tools if (name := tool_name(tool)) in names), None):
        raise InvalidInput(tools=[f"A tool of the workspace has the name {twice!r} as well."])
    return ModelRequest(
        model=model.upstream_name,
        messages=completion.messages,
        max_tokens=completion.max_tokens or model.output_bound,
        temperature=completion.temperature,
        tools=[*completion.tools, *(tool.definition for tool in offered)],
        extra=completion.extra,
        headers=completion.headers,
        native=completion.native,
    )


@transaction.atomic
def write_completion(
    *,
    principal: Principal,
    completion: CompletionRequest,
    decision: Decision,
    model: ModelRef,
    bounds: Bounds,
    idempotency_key: str | None = None,
) -> tuple[Turn, list[Limit]]:
    """The reply of one with a key is stored, so that a repeated request gets it.

    With a record the turn is stored in a conversation; NotFound and TurnInProgress come from there.
    """
    place = place_turn(principal=principal, record=completion.record) if completion.record else {}
    turn = Turn.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=Turn.Kind.COMPLETION,
        model=model.slug,
        model_id=model.id,
        engine=OneCall.name,
        decision=decision.as_dict(),
        idempotency_key=idempotency_key,
        body_hash=completion.body_hash if idempotency_key else "",
        **place,
    )
    if completion.record:
        record_response(turn=turn, conversation=place["conversation"], record=completion.record)
    return turn, reserve_turn(turn, principal=principal, model=model, bounds=bounds)
