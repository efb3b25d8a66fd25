"""Updates a turn's totals when one of its calls was settled after the turn had ended."""

from uuid import UUID

from django.db import transaction
from django.db.models import F

from accounts.teams.tenants import find_tenant
from gateway.models import Conversation, Turn
from kit.tenancy import TenantRef, in_public, in_tenant
from quotas.models import Reservation
from quotas.reservations import turn_usage

COUNTED = [
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "exactness",
    "cost",
]


async def amend_usage(turn_id: UUID) -> None:
    """Sets the totals of the turn and its conversation to the ledger's; safe to repeat."""
    tenant = await in_public(_tenant_of, turn_id)
    if tenant is not None:
        await in_tenant(tenant, _amend, turn_id)


def _tenant_of(turn_id: UUID) -> TenantRef | None:
    tenant_id = Reservation.objects.filter(id=turn_id).values_list("tenant_id", flat=True).first()
    return find_tenant(tenant_id) if tenant_id else None


@transaction.atomic
def _amend(turn_id: UUID) -> None:
    """Conversation first, then turn: the order in which a turn's end locks them."""
    Conversation.objects.select_for_update().filter(turns=turn_id).first()
    # Locked by its id alone: a condition on its status would skip a row that another transaction changes.
    turn = Turn.objects.select_for_update().filter(id=turn_id).first()
    if turn is None or turn.status != Turn.Status.DONE:
        return
    usage = turn_usage(turn_id)
    more = usage.total - turn.input_tokens - turn.output_tokens
    turn.input_tokens, turn.output_tokens = usage.input_tokens, usage.output_tokens
    turn.cached_tokens, turn.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
    turn.exactness, turn.cost = usage.exactness, usage.cost
    turn.save(update_fields=COUNTED)
    if more and turn.conversation_id is not None:
        Conversation.objects.filter(id=turn.conversation_id).update(total_tokens=F("total_tokens") + more)
