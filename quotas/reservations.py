"""A turn's admission: opened with a lease that its runner renews, closed once, reaped when nobody runs it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from quotas.calls import Payer, PlannedCall
from quotas.counters import TAKING, expect_all, limits_with_counters, lock_counters, taking_parameters
from quotas.holds import call_shares, hold_columns, payer_of, turn_shares
from quotas.limits import Limit, limits_of
from quotas.models import Hold, Reservation, UsageRecord
from quotas.prices import Usage
from quotas.settlement import end_hold, write_off

log = structlog.get_logger(__name__)
# One statement, so that the counters' rows are locked for no longer than the commit takes.
OPEN = f"""
    WITH {TAKING}, admitted AS (
        INSERT INTO quotas_reservation (
            id, tenant_id, workspace_id, user_id, api_key_id, time_zone, purpose, engine, counters,
            state, lease_expires_at, holder, created_at)
        SELECT %(turn)s, %(tenant)s, %(workspace)s, %(user)s, %(key)s, %(zone)s, %(purpose)s, %(engine)s,
               %(turn_counters)s::bigint[], 'open', statement_timestamp() + %(lease)s, %(holder)s,
               now()
        WHERE (SELECT count(*) FROM taken) = cardinality(%(ids)s::bigint[])
        RETURNING id
    ), first_hold AS (
        INSERT INTO quotas_hold (
            id, reservation_id, counters, day, model, model_id, provider, state, prompt_bound, output_bound,
            cost_bound, input_price, cached_input_price, output_price, reasoning_price,
            streamed_tokens, fingerprint, overrun, created_at)
        SELECT %(hold)s, id, %(call_counters)s::bigint[], %(day)s, %(model)s, %(model_id)s::uuid,
               %(provider)s, 'held', %(prompt_bound)s, %(output_bound)s, %(cost_bound)s, %(input_price)s,
               %(cached_input_price)s, %(output_price)s, %(reasoning_price)s, 0, '', false, now()
        FROM admitted
    )
    SELECT * FROM taken
"""  # noqa: S608 - a constant of ours

CLOSE = """
    UPDATE quotas_reservation SET state = 'closed', closed_at = now()
    WHERE id = %(turn)s AND state = 'open' AND (%(even_running)s OR lease_expires_at < statement_timestamp())
    RETURNING counters
"""
# The place that the turn had among those at once; requests stay used.
FREE = """
    WITH due AS (
        SELECT id FROM quotas_budgetwindow
        WHERE id = ANY(%s::bigint[]) AND metric = 'turns' ORDER BY id FOR UPDATE
    )
    UPDATE quotas_budgetwindow AS counter SET reserved = counter.reserved - 1
    FROM due WHERE counter.id = due.id
"""

# In one statement: a reply that is read on may be settled meanwhile, and would be missed or counted twice.
ACCOUNTED = """
    SELECT coalesce((SELECT sum(output_tokens) FROM quotas_usagerecord WHERE turn_id = %(turn)s), 0)
           + coalesce((SELECT sum(streamed_tokens) FROM quotas_hold
                       WHERE reservation_id = %(turn)s AND state = 'sent' AND id <> %(latest)s), 0)
"""
TURN_LINES = """
    SELECT input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, exactness
    FROM quotas_usagerecord WHERE turn_id = %(turn)s
    UNION ALL
    SELECT least(prompt_estimate, prompt_bound), streamed_tokens, 0, 0,
           ceil((least(prompt_estimate, prompt_bound)::numeric * input_price
                 + streamed_tokens::numeric * output_price) / 1000000)::bigint, 'estimated'
    FROM quotas_hold
    WHERE reservation_id = %(turn)s AND state = 'sent' AND read_on_until > statement_timestamp()
"""


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
    payer: Payer,
    call: PlannedCall,
    purpose: str,
    engine: str,
    lease_seconds: int,
    holder: UUID | None = None,
) -> list[Limit]:
    """Admits a turn: a reservation with a lease, and a first hold that its first call adopts.

    `holder` is the process that will renew the lease (`quotas.leases`); None where nobody does.

    Returns the limits that it met, as they stand now. QuotaExceeded or RateLimited name the one that does not
    cover it, PriceUnknown where the cost cannot be bounded. Meant to be the last step of the caller's
    transaction, since the counters' rows stay locked until that commits.
    """
    applying = limits_with_counters(payer, call)
    of_call, of_turn = call_shares(applying, call), turn_shares(applying)
    shares = [*of_call, *of_turn]
    parameters = {
        **taking_parameters(shares),
        **hold_columns(applying, call),
        "turn": turn_id,
        "tenant": payer.tenant_id,
        "workspace": payer.workspace_id,
        "user": payer.user_id,
        "key": payer.api_key_id,
        "zone": payer.time_zone,
        "purpose": purpose,
        "engine": engine,
        "turn_counters": [share.counter_id for share in of_turn],
        "call_counters": [share.counter_id for share in of_call],
        "lease": timedelta(seconds=lease_seconds),
        "holder": holder,
        "hold": uuid4(),
    }
    with connection.cursor() as cursor:
        cursor.execute(OPEN, parameters)
        return expect_all(shares, cursor.fetchall())


@transaction.atomic(savepoint=False)  # a part of the caller's transaction where there is one
def close_turn(*, turn_id: UUID, only_expired: bool = False, shown_tokens: int = 0) -> bool:
    """Ends the reservation: what was held is released, what was sent and never settled is written off.

    A call that is read on keeps its hold: it is settled soon, or written off by `write_off_left`.
    A write-off charges the output that is known to have streamed. `shown_tokens` are what clients were shown
    of the whole turn: the latest call that is written off is charged what the others do not account for.
    False when it was closed already, or when `only_expired` and its lease still runs.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, {"turn": turn_id, "even_running": not only_expired})
        closed = cursor.fetchone()
        if closed is None:
            return False
        # From here on nobody adds a hold: that takes this row's lock and looks at its state.
        live = Hold.objects.select_for_update().filter(reservation_id=turn_id, state__in=Hold.LIVE)
        live = live.exclude(state=Hold.State.SENT, read_on_until__gt=Now())
        unfinished = list(live.order_by("model", "created_at", "id"))  # the order in which days are summed
        note_shown(turn_id, unfinished, shown_tokens)
        if unfinished:
            lock_counters([*closed[0], *(counter for hold in unfinished for counter in hold.counters)])
        for hold in unfinished:
            end_hold(hold)
        if closed[0]:
            cursor.execute(FREE, [closed[0]])
    return True


def note_shown(turn_id: UUID, unfinished: list[Hold], shown_tokens: int) -> None:
    """Raises what the latest of these calls is known to have streamed, up to what was shown.

    What the turn's settled calls and its other calls that were sent, also those that are read on, account
    for is taken off.
    """
    sent = [hold for hold in unfinished if hold.state == Hold.State.SENT]
    if not sent or not shown_tokens:
        return
    latest = max(sent, key=lambda hold: (hold.created_at, hold.id))
    with connection.cursor() as cursor:
        cursor.execute(ACCOUNTED, {"turn": turn_id, "latest": latest.id})
        rest = shown_tokens - int(cursor.fetchone()[0])
    if rest > latest.streamed_tokens:
        Hold.objects.filter(id=latest.id).update(streamed_tokens=rest)


def take_over(*, turn_id: UUID, holder: UUID, lease_seconds: int) -> bool:
    """Gives an expired lease to the first who asks; False when it runs, was taken or the turn closed.

    The process that had it finds out at its next renewal.
    """
    lost = Reservation.objects.filter(id=turn_id, state=Reservation.State.OPEN, lease_expires_at__lt=Now())
    return bool(lost.update(holder=holder, lease_expires_at=Now() + timedelta(seconds=lease_seconds)))


def hand_over(*, turn_id: UUID) -> None:
    """Gives the lease up, so that another process may take the turn without waiting for it to run out."""
    Reservation.objects.filter(id=turn_id, state=Reservation.State.OPEN).update(
        holder=None, lease_expires_at=Now() - timedelta(seconds=1)
    )


def expired_reservations(*, only_given_up: bool = False, limit: int = 100) -> list[Expired]:
    """Open reservations whose lease ran out, oldest first; `only_given_up`: those that no process has."""
    expired = Reservation.objects.filter(state=Reservation.State.OPEN, lease_expires_at__lt=Now())
    rows = (
        (expired.filter(holder=None) if only_given_up else expired)
        .order_by("lease_expires_at")
        .annotate(lapsed=ExpressionWrapper(Now() - F("lease_expires_at"), DurationField()))
        .values_list("id", "tenant_id", "engine", "lapsed")[:limit]
    )
    return [Expired(*row) for row in rows]


def turn_limits(turn_id: UUID) -> tuple[Limit, ...]:
    """What applies to whoever pays for the turn, with the figures now."""
    reservation = Reservation.objects.filter(id=turn_id).first()
    return limits_of(payer_of(reservation)) if reservation else ()


def write_off_left(*, limit: int = 100) -> int:
    """Writes off calls that were read on by a process that has died; returns how many."""
    left = Hold.objects.filter(state=Hold.State.SENT, read_on_until__lt=Now()).order_by("read_on_until")
    call_ids = [call_id for call_id in left.values_list("call_id", flat=True)[:limit] if call_id]
    written_off = 0
    for call_id in call_ids:
        try:
            write_off(call_id=call_id)
            written_off += 1
        except DatabaseError:  # one that cannot be ended must not keep the others from it
            log.exception("a call could not be written off", call_id=str(call_id))
    return written_off


def turn_usage(turn_id: UUID) -> Usage:
    """What a turn's calls came to; a turn makes few calls, so its own lines are summed, not history.

    A call that is read on counts by its prompt's estimate and what has streamed. The exactness is that of the
    least exact line; the cost None where that of a line is not known.
    """
    with connection.cursor() as cursor:
        cursor.execute(TURN_LINES, {"turn": turn_id})
        lines = cursor.fetchall()
    told, written, cached, reasoning, costs, kinds = zip(*lines, strict=True) if lines else ((),) * 6
    ranking = (UsageRecord.Exactness.UNREPORTED, UsageRecord.Exactness.ESTIMATED)
    return Usage(
        input_tokens=sum(told),
        output_tokens=sum(written),
        exactness=next((kind for kind in ranking if kind in kinds), UsageRecord.Exactness.EXACT),
        cached_tokens=sum(cached),
        reasoning_tokens=sum(reasoning),
        cost=None if None in costs else sum(costs),
    )
