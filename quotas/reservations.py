"""A turn's admission: opened with a lease that its runner renews, closed once, reaped if its runner dies."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from quotas.counters import TAKING, expect_all, limits_with_counters, lock_counters, taking_parameters
from quotas.hold_states import end_hold, write_off
from quotas.holds import call_shares, hold_columns, payer_of, turn_shares
from quotas.limits import Limit, limits_of
from quotas.models import Hold, Reservation, UsageRecord
from quotas.planned_calls import Payer, PlannedCall
from quotas.prices import AnsweredCall, Usage

log = structlog.get_logger(__name__)
# One statement, so that the counters' rows are locked only until the commit.
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
"""  # noqa: S608 - a constant

CLOSE = """
    UPDATE quotas_reservation SET state = 'closed', closed_at = now()
    WHERE id = %(turn)s AND state = 'open' AND (%(even_running)s OR lease_expires_at < statement_timestamp())
    RETURNING counters
"""
# Frees the turn's share of the concurrent turns; requests stay used.
FREE = """
    WITH due AS (
        SELECT id FROM quotas_budgetwindow
        WHERE id = ANY(%s::bigint[]) AND metric = 'turns' ORDER BY id FOR UPDATE
    )
    UPDATE quotas_budgetwindow AS counter SET reserved = counter.reserved - 1
    FROM due WHERE counter.id = due.id
"""

# In one statement: a reply that is read on may be settled meanwhile, and be missed or counted twice.
ACCOUNTED = """
    SELECT coalesce((SELECT sum(output_tokens) FROM quotas_usagerecord WHERE turn_id = %(turn)s), 0)
           + coalesce((SELECT sum(streamed_tokens) FROM quotas_hold
                       WHERE reservation_id = %(turn)s AND state = 'sent' AND id <> %(latest)s), 0)
"""
TURN_LINES = """
    SELECT input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, exactness,
           model, provider, call_id::text, id AS position
    FROM quotas_usagerecord WHERE turn_id = %(turn)s
    UNION ALL
    SELECT least(prompt_estimate, prompt_bound), streamed_tokens, 0, 0,
           ceil((least(prompt_estimate, prompt_bound)::numeric * input_price
                 + streamed_tokens::numeric * output_price) / 1000000)::bigint, 'estimated',
           model, provider, call_id::text, NULL
    FROM quotas_hold
    WHERE reservation_id = %(turn)s AND state = 'sent' AND read_on_until > statement_timestamp()
    ORDER BY position NULLS LAST
"""


@dataclass(frozen=True, slots=True)
class Expired:
    """An open reservation whose lease has run out."""

    turn_id: UUID
    tenant_id: UUID
    engine: str
    lapsed: timedelta  # since its lease ran out


@transaction.atomic(savepoint=False)  # part of the caller's transaction, if any
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

    `holder` is the process that will renew the lease (`quotas.leases`); None if no process does.

    Returns the limits that apply, with their figures afterwards. QuotaExceeded or RateLimited name the limit
    that does not cover the call; PriceUnknown if its cost cannot be bounded. Call it last in a transaction,
    since the counters' rows stay locked until the commit.
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


@transaction.atomic(savepoint=False)  # part of the caller's transaction, if any
def close_turn(*, turn_id: UUID, only_expired: bool = False, shown_tokens: int = 0) -> bool:
    """Ends the reservation: held calls are released, sent and unsettled calls are written off.

    A call that is read on keeps its hold: it is settled soon, or written off by `write_off_left`.
    A write-off charges the output that is known to have streamed. `shown_tokens` is the output that clients
    saw of the whole turn: the latest call that is written off is charged the part that the other calls do
    not account for. False if it was closed already, or if `only_expired` and its lease has not run out.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, {"turn": turn_id, "even_running": not only_expired})
        closed = cursor.fetchone()
        if closed is None:
            return False
        # From here on no hold can be added: that takes this row's lock and checks its state.
        live = Hold.objects.of_turn(turn_id).live().not_read_on().select_for_update()
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
    """Raises the streamed tokens of the latest of these calls to the output that clients saw.

    The output of the turn's settled calls and of its other sent calls, read on or not, is subtracted.
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
    """Gives an expired lease to the first process that asks; False if it runs, was taken or the turn closed.

    The previous holder finds out at its next renewal.
    """
    expired = Reservation.objects.expired().filter(id=turn_id)
    return bool(expired.update(holder=holder, lease_expires_at=Now() + timedelta(seconds=lease_seconds)))


def hand_over(*, turn_id: UUID) -> None:
    """Gives up the lease, so that another process can take over the turn without waiting for its end."""
    Reservation.objects.open().filter(id=turn_id).update(
        holder=None, lease_expires_at=Now() - timedelta(seconds=1)
    )


def expired_reservations(*, only_given_up: bool = False, limit: int = 100) -> list[Expired]:
    """Open reservations whose lease ran out, oldest first; `only_given_up`: only those without a holder."""
    expired = Reservation.objects.expired()
    rows = (
        (expired.filter(holder=None) if only_given_up else expired)
        .order_by("lease_expires_at")
        .annotate(lapsed=ExpressionWrapper(Now() - F("lease_expires_at"), DurationField()))
        .values_list("id", "tenant_id", "engine", "lapsed")[:limit]
    )
    return [Expired(*row) for row in rows]


def turn_limits(turn_id: UUID) -> tuple[Limit, ...]:
    """The limits that apply to the turn's payer, with their current figures."""
    reservation = Reservation.objects.filter(id=turn_id).first()
    return limits_of(payer_of(reservation)) if reservation else ()


def write_off_left(*, limit: int = 100) -> int:
    """Writes off calls that were read on by a process that has died; returns how many."""
    left = Hold.objects.sent().filter(read_on_until__lt=Now()).order_by("read_on_until")
    call_ids = [call_id for call_id in left.values_list("call_id", flat=True)[:limit] if call_id]
    written_off = 0
    for call_id in call_ids:
        try:
            write_off(call_id=call_id)
            written_off += 1
        except DatabaseError:  # one failure must not block the others
            log.exception("a call could not be written off", call_id=str(call_id))
    return written_off


def turn_usage(turn_id: UUID) -> Usage:
    """The usage of a turn's calls, summed from its own ledger lines: a turn makes few calls.

    A call that is read on counts with its prompt estimate and the streamed output. The exactness is that of
    the least exact line; the cost is None if a line's cost is unknown.
    """
    with connection.cursor() as cursor:
        cursor.execute(TURN_LINES, {"turn": turn_id})
        lines = cursor.fetchall()
    columns = zip(*lines, strict=True) if lines else ((),) * 10
    read, written, cached, reasoning, costs, kinds, models, providers, call_ids, _ = columns
    calls = (AnsweredCall(*call) for call in zip(models, providers, call_ids, strict=True))
    ranking = (UsageRecord.Exactness.UNREPORTED, UsageRecord.Exactness.ESTIMATED)
    return Usage(
        input_tokens=sum(read),
        output_tokens=sum(written),
        exactness=next((kind for kind in ranking if kind in kinds), UsageRecord.Exactness.EXACT),
        cached_tokens=sum(cached),
        reasoning_tokens=sum(reasoning),
        cost=None if None in costs else sum(costs),
        calls=tuple(dict.fromkeys(calls)),  # a correction is another line of its call
    )
