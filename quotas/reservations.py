"""A turn's admission: opened with a lease that its runner renews, closed once, reaped when nobody runs it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.utils import timezone

from quotas.holds import Usage, end_hold
from quotas.models import Hold, Reservation, UsageRecord
from quotas.windows import current_window, reserve


@dataclass(frozen=True, slots=True)
class Expired:
    """An open reservation whose runner has gone."""

    turn_id: UUID
    tenant_id: UUID
    engine: str
    lapsed: timedelta  # since its lease ran out


@transaction.atomic(savepoint=False)  # a part of the caller's transaction where there is one
def open_turn(
    *,
    turn_id: UUID,
    tenant_id: UUID,
    workspace_id: UUID,
    user_id: UUID,
    purpose: str,
    engine: str,
    model: str,
    provider: str,
    prompt_bound: int,
    output_bound: int,
    lease_seconds: int,
) -> None:
    """Admits a turn: a reservation with a lease, and a first hold that its first call adopts.

    Bounds are tokens. QuotaExceeded when the budget does not cover them. Meant to be the last step of
    the caller's transaction, since the counters' row stays locked until that commits.
    """
    reservation = Reservation.objects.create(
        id=turn_id,
        tenant_id=tenant_id,
        workspace_id=workspace_id,
        user_id=user_id,
        purpose=purpose,
        engine=engine,
        lease_expires_at=Now() + timedelta(seconds=lease_seconds),
    )
    window = current_window(workspace_id)
    reserve(window, prompt_bound + output_bound)
    Hold.objects.create(
        reservation=reservation,
        window=window,
        model=model,
        provider=provider,
        prompt_bound=prompt_bound,
        output_bound=output_bound,
    )


def renew_lease(*, turn_id: UUID, lease_seconds: int) -> bool:
    """Extends the lease by the database's clock; False when it was lost, and the runner must stop."""
    alive = Reservation.objects.filter(id=turn_id, state=Reservation.State.OPEN, lease_expires_at__gt=Now())
    return bool(alive.update(lease_expires_at=Now() + timedelta(seconds=lease_seconds)))


@transaction.atomic(savepoint=False)  # a part of the caller's transaction where there is one
def close_turn(*, turn_id: UUID, only_expired: bool = False) -> bool:
    """Ends the reservation: what was held is released, what was sent and never settled is written off.

    False when it was closed already, or when `only_expired` and its lease still runs.
    """
    open_ones = Reservation.objects.select_for_update().filter(id=turn_id, state=Reservation.State.OPEN)
    if only_expired:
        open_ones = open_ones.filter(lease_expires_at__lt=Now())
    reservation = open_ones.first()
    if reservation is None:
        return False
    unfinished = reservation.holds.select_for_update().filter(state__in=[Hold.State.HELD, Hold.State.SENT])
    for hold in unfinished.order_by("created_at", "id"):
        end_hold(hold)
    reservation.state = Reservation.State.CLOSED
    reservation.closed_at = timezone.now()
    reservation.save(update_fields=["state", "closed_at"])
    return True


def take_over(*, turn_id: UUID, lease_seconds: int) -> bool:
    """Gives an expired lease to whoever asks first; False when it runs, was taken or the turn closed."""
    lost = Reservation.objects.filter(id=turn_id, state=Reservation.State.OPEN, lease_expires_at__lt=Now())
    return bool(lost.update(lease_expires_at=Now() + timedelta(seconds=lease_seconds)))


def hand_over(*, turn_id: UUID) -> None:
    """Lets the lease run out at once, so that another process may take the turn."""
    Reservation.objects.filter(id=turn_id, state=Reservation.State.OPEN).update(
        lease_expires_at=Now() - timedelta(seconds=1)
    )


def expired_reservations(*, limit: int = 100) -> list[Expired]:
    """Open reservations whose lease ran out, oldest first."""
    rows = (
        Reservation.objects.filter(state=Reservation.State.OPEN, lease_expires_at__lt=Now())
        .order_by("lease_expires_at")
        .annotate(lapsed=ExpressionWrapper(Now() - F("lease_expires_at"), DurationField()))
        .values_list("id", "tenant_id", "engine", "lapsed")[:limit]
    )
    return [Expired(*row) for row in rows]


def turn_usage(turn_id: UUID) -> Usage:
    """What a turn's calls came to; a turn makes few calls, so its own lines are summed, not history.

    The exactness is that of the least exact line.
    """
    lines = list(UsageRecord.objects.filter(turn_id=turn_id).order_by("id"))
    kinds = {line.exactness for line in lines}
    ranking = (UsageRecord.Exactness.UNREPORTED, UsageRecord.Exactness.ESTIMATED)
    exactness = next((kind for kind in ranking if kind in kinds), UsageRecord.Exactness.EXACT)
    return Usage(
        input_tokens=sum(line.input_tokens for line in lines),
        output_tokens=sum(line.output_tokens for line in lines),
        exactness=exactness,
    )
