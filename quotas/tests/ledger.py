"""Reservations, holds and ledger lines that are there already, for tests that only look at them."""

from uuid import uuid4

from django.utils import timezone

from accounts.tests.cast import Person
from quotas.models import Hold, Reservation, UsageRecord
from quotas.windows import current_window


def store_usage(person: Person, *, tokens: int = 30) -> UsageRecord:
    """One settled call of a closed turn."""
    principal, turn_id, call_id, now = person.principal, uuid4(), uuid4(), timezone.now()
    window = current_window(principal.workspace.id)
    assert window is not None
    who = {
        "tenant_id": principal.tenant.id,
        "workspace_id": principal.workspace.id,
        "user_id": principal.user_id,
        "purpose": UsageRecord.Purpose.CHAT,
        "engine": "direct",
    }
    reservation = Reservation.objects.create(
        id=turn_id, state=Reservation.State.CLOSED, lease_expires_at=now, closed_at=now, **who
    )
    call = {"call_id": call_id, "window": window, "model": "smollm2", "provider": "local"}
    Hold.objects.create(
        reservation=reservation, state=Hold.State.SETTLED, prompt_bound=tokens, output_bound=0, **call
    )
    window.used += tokens
    window.save(update_fields=["used"])
    return UsageRecord.objects.create(
        turn_id=turn_id, input_tokens=tokens, output_tokens=0, exactness="exact", **who, **call
    )
