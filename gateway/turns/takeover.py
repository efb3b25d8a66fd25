"""Takes over a turn whose process died while its engine continues: the lease changes hands."""

from uuid import UUID

from django.conf import settings
from django.db import transaction

from gateway.calls.bounds import Bounds
from gateway.calls.rights import is_named
from gateway.engines.base import Question, TurnJob
from gateway.models import Message, Turn
from gateway.providers.base import ModelRequest
from gateway.turns.admission import MOST_ANCESTORS
from gateway.turns.event_json import reply_events
from gateway.turns.heartbeat import HOLDER
from gateway.turns.runner import runner
from kit.errors import AtCapacity, ShuttingDown
from kit.tenancy import TenantRef, in_tenant
from quotas.reservations import take_over
from workspaces.language_models.queries import ModelRef, installed_models
from workspaces.mcp_servers.queries import ServerRef, enabled_servers_by_id


async def take_over_turn(tenant: TenantRef, turn_id: UUID) -> bool:
    """Continues the turn in this process; False if another was faster or there is no free slot."""
    if turn_id in runner().turns:  # it is ours, and its heartbeat is only late
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
    """The lost turn's job, with its lease renewed for this process; None if it cannot be taken over."""
    turn = Turn.objects.running().select_related("conversation").filter(id=turn_id).first()
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
        reply_so_far=reply_events(turn.parts),
        is_takeover=True,
    )


def _models_of(turn: Turn) -> list[ModelRef]:
    """Only the model's name and figures matter: each call goes to the egress, which checks current rights."""
    installed = installed_models(workspace_id=turn.workspace_id)
    return [row for row in installed if is_named(row, turn.model, turn.model_id)]


def _servers_of(turn: Turn) -> tuple[ServerRef, ...]:
    """For the names of their tools; whether these may run is checked at each call."""
    named = turn.parameters.get("mcp_ids") or []
    return tuple(enabled_servers_by_id(workspace_id=turn.workspace_id, ids=named) if named else ())


def _request_of(turn: Turn, model: ModelRef) -> ModelRequest:
    """The parameters of the request; the engine has the history."""
    instructions = turn.parameters.get("instructions")
    return ModelRequest(
        model=model.upstream_name,
        messages=[{"role": "system", "content": instructions}] if instructions else [],
        max_tokens=turn.parameters.get("max_tokens") or model.output_bound,
        temperature=turn.parameters.get("temperature"),
    )


def _question_of(turn: Turn) -> Question:
    """The engine has the question of a regenerated turn under another turn's message id."""
    message = turn.messages.get(role=Message.Role.USER)
    return Question(id=turn.question_id, text=message.content, is_asked_again=message.id != turn.question_id)


def _ancestors_of(turn: Turn) -> tuple[UUID, ...]:
    found: list[UUID] = []
    at = turn.previous_id
    while at is not None and len(found) < MOST_ANCESTORS:
        found.append(at)
        at = Turn.objects.filter(id=at).values_list("previous_id", flat=True).first()
    return tuple(found)
