"""Adopts a turn whose process died while its engine goes on: the lease changes hands, the reply continues."""

from uuid import UUID

from django.conf import settings
from django.db import transaction

from gateway.calls.bounds import Bounds
from gateway.calls.rights import is_named
from gateway.engines.base import Question, TurnJob
from gateway.models import Message, Turn
from gateway.providers.base import ModelRequest
from gateway.turns.admission import MOST_ANCESTORS
from gateway.turns.heartbeat import HOLDER
from gateway.turns.runner import runner
from kit.errors import AtCapacity, ShuttingDown
from kit.tenancy import TenantRef, in_tenant
from quotas.reservations import take_over
from workspaces.language_models.queries import ModelRef, installed_models
from workspaces.mcp_servers.queries import ServerRef, enabled_servers_by_id


async def adopt_turn(tenant: TenantRef, turn_id: UUID) -> bool:
    """Takes the turn into this process; False where another was faster or there is no room for it."""
    if turn_id in runner().turns:  # it is ours, and only late with its heartbeat
        return False
    try:
        with runner().slot(tenant):
            job = await in_tenant(tenant, claim_turn, tenant, turn_id)
            if job is not None:
                runner().start(job)
    except (AtCapacity, ShuttingDown):
        return False
    return job is not None


@transaction.atomic
def claim_turn(tenant: TenantRef, turn_id: UUID) -> TurnJob | None:
    """The lost turn's job, its lease renewed for us; None when it is not ours to have."""
    turn = Turn.objects.select_related("conversation").filter(id=turn_id, status=Turn.Status.RUNNING).first()
    if turn is None or turn.conversation is None:
        return None
    models = _models_of(turn)
    if not models or not take_over(turn_id=turn_id, holder=HOLDER, lease_seconds=settings.TURN_LEASE_SECONDS):
        return None
    return TurnJob(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        tenant=tenant,
        workspace_id=turn.workspace_id,
        user_id=turn.user_id,
        engine=turn.engine,
        model=models[0],
        fallbacks=tuple(models[1:]),
        request=_request_of(turn, models[0]),
        bounds=Bounds(prompt=0, output=0),  # the engine makes its calls through the egress, which bounds them
        question=_question_of(turn),
        ancestors=_ancestors_of(turn),
        engine_account_id=turn.conversation.engine_account_id,
        servers=_servers_of(turn),
        told=tuple(turn.parts),
        is_adopted=True,
    )


def _models_of(turn: Turn) -> list[ModelRef]:
    """Only what is told of the model counts: each call asks the egress, which asks for the rights of now."""
    installed = installed_models(workspace_id=turn.workspace_id)
    return [row for row in installed if is_named(row, turn.model, turn.model_id)]


def _servers_of(turn: Turn) -> tuple[ServerRef, ...]:
    """What its tools are called; whether they may run is asked at each call."""
    named = turn.parameters.get("mcp_ids") or []
    return tuple(enabled_servers_by_id(workspace_id=turn.workspace_id, ids=named) if named else ())


def _request_of(turn: Turn, model: ModelRef) -> ModelRequest:
    """What was asked for; the engine has the history."""
    told = turn.parameters.get("instructions")
    return ModelRequest(
        model=model.upstream_name,
        messages=[{"role": "system", "content": told}] if told else [],
        max_tokens=turn.parameters.get("max_tokens") or model.output_bound,
        temperature=turn.parameters.get("temperature"),
    )


def _question_of(turn: Turn) -> Question:
    """A regenerated turn's question stands at the engine under another turn's message."""
    asked = turn.messages.get(role=Message.Role.USER)
    return Question(id=turn.question_id, text=asked.content, is_asked_again=asked.id != turn.question_id)


def _ancestors_of(turn: Turn) -> tuple[UUID, ...]:
    found: list[UUID] = []
    at = turn.previous_id
    while at is not None and len(found) < MOST_ANCESTORS:
        found.append(at)
        at = Turn.objects.filter(id=at).values_list("previous_id", flat=True).first()
    return tuple(found)
