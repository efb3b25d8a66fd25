"""Holds a model call's share of its turn's reservation; idempotent by the call's id.

`quotas.hold_states` marks a hold as sent and ends it.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from kit.errors import DomainError, TurnInterrupted
from quotas.counters import Share, limits_with_counters, lock_counters, take
from quotas.errors import PriceUnknown, RepeatedCall, TurnLimit
from quotas.limits import Applying, Metric, find_applying
from quotas.models import Hold, Reservation
from quotas.planned_calls import Payer, PlannedCall

SETTLING_SECONDS = (
    10  # plus the default PROVIDER_READ_ON_SECONDS it is less than a lease: no hold outlives it
)
MOST_ATTEMPTS = (
    2  # of one request within a turn: an engine's client may repeat a call that it thinks was lost
)

RELEASE_COUNTERS = """
    UPDATE quotas_budgetwindow
    SET reserved = reserved - CASE metric WHEN 'cost' THEN %(cost)s ELSE %(tokens)s END
    WHERE id = ANY(%(counters)s::bigint[])
"""

# In the hold's own windows, with the limits that the latest call read.
EXTEND = """
    WITH hold AS (
        SELECT *, coalesce(greatest(output_price, reasoning_price), 0)::numeric / 1000000 AS token_cost
        FROM quotas_hold WHERE call_id = %(call)s AND state = 'sent' AND output_bound < %(output)s FOR UPDATE
    ), more AS (
        SELECT id, counters, %(output)s - output_bound AS tokens, %(beyond)s::bigint AS beyond,
               ceil((%(output)s - output_bound) * token_cost)::bigint AS cost,
               ceil(%(beyond)s * token_cost)::bigint AS cost_beyond
        FROM hold
    ), due AS (
        SELECT id FROM quotas_budgetwindow
        WHERE id = ANY((SELECT counters FROM more)::bigint[]) ORDER BY id FOR UPDATE
    ), taken AS (
        UPDATE quotas_budgetwindow AS counter
        SET reserved = counter.reserved + CASE metric WHEN 'cost' THEN more.cost ELSE more.tokens END
        FROM due, more
        WHERE counter.id = due.id
          AND counter.used + counter.reserved + CASE metric WHEN 'cost' THEN more.cost ELSE more.tokens END
              <= counter."limit" + counter.granted
                 + CASE metric WHEN 'cost' THEN more.cost_beyond ELSE more.beyond END
        RETURNING counter.id
    ), extended AS (
        UPDATE quotas_hold AS hold
        SET output_bound = %(output)s, cost_bound = hold.cost_bound + more.cost
        FROM more WHERE hold.id = more.id
    )
    SELECT (SELECT count(*) FROM taken) = (SELECT cardinality(counters) FROM more)
"""


def call_shares(applying: Applying, call: PlannedCall) -> list[Share]:
    """A call's share of each limit of tokens and cost; PriceUnknown."""
    cost = applying.cost_bound(call)
    return [
        Share(limit, reserve=cost if limit.metric == Metric.COST else call.tokens)
        for limit in applying.of(Metric.TOKENS, Metric.COST)
    ]


def turn_shares(applying: Applying) -> list[Share]:
    """A turn's share apart from its calls: one request in the minute, one concurrent turn."""
    return [
        Share(limit, use=1) if limit.metric == Metric.REQUESTS else Share(limit, reserve=1)
        for limit in applying.of(Metric.REQUESTS, Metric.TURNS)
    ]


def foresee(payer: Payer, call: PlannedCall) -> DomainError | None:
    """The refusal that a turn with this call would get now; None if all limits cover it."""
    applying = find_applying(payer, call)
    try:
        shares = [*call_shares(applying, call), *turn_shares(applying)]
    except PriceUnknown as refusal:
        return refusal
    short = [share for share in shares if share.reserve + share.use > share.limit.remaining]
    first = min(short, key=lambda share: share.limit.is_rate, default=None)
    return first.limit.refusal(first.reserve + first.use) if first else None


def hold_columns(applying: Applying, call: PlannedCall) -> dict[str, Any]:
    """The columns of a hold that describe its call, by name."""
    rates = applying.rates
    return {
        "day": applying.day,
        "model": call.model,
        "model_id": call.model_id,
        "provider": call.provider,
        "prompt_bound": call.prompt_bound,
        "prompt_estimate": call.prompt_estimate,
        "output_bound": call.output_bound,
        "cost_bound": applying.cost_bound(call),
        "input_price": rates.input if rates else None,
        "cached_input_price": rates.cached_input if rates else None,
        "output_price": rates.output if rates else None,
        "reasoning_price": rates.reasoning if rates else None,
    }


def hold_call(*, turn_id: UUID, call_id: UUID, call: PlannedCall, fingerprint: str = "") -> None:
    """Holds the most that the call may cost; the turn's first call adopts the hold that admission took.

    QuotaExceeded or RateLimited if a limit does not cover it, PriceUnknown, TurnInterrupted if the turn is
    closed, TurnLimit if it has made as many calls as a turn may, RepeatedCall if it sent the request with
    this `fingerprint` to this model too often.
    """
    if not _adopt(turn_id, call_id, call, fingerprint):
        _take_hold(turn_id, call_id, call, fingerprint)


def _adopt(turn_id: UUID, call_id: UUID, call: PlannedCall, fingerprint: str) -> bool:
    """Most turns make exactly the call that they were admitted with."""
    first = (
        Hold.objects.of_turn(turn_id)
        .unadopted()
        .filter(
            model=call.model,
            model_id=call.model_id,
            provider=call.provider,
            prompt_bound=call.prompt_bound,
            output_bound=call.output_bound,
        )
    )
    estimate = call.prompt_estimate
    return bool(first.update(call_id=call_id, fingerprint=fingerprint, prompt_estimate=estimate))


@transaction.atomic
def _take_hold(turn_id: UUID, call_id: UUID, call: PlannedCall, fingerprint: str) -> None:
    reservation = Reservation.objects.select_for_update().filter(id=turn_id).first()
    if reservation is None or reservation.state != Reservation.State.OPEN:
        raise TurnInterrupted
    if Hold.objects.filter(call_id=call_id).exists():
        return
    _check_calls(reservation, call.model, fingerprint)
    applying = limits_with_counters(payer_of(reservation), call)
    shares = call_shares(applying, call)
    first = Hold.objects.of_turn(turn_id).unadopted().select_for_update().first()
    if first is not None:
        _release_counters(first, [share.counter_id for share in shares])
    take(shares)
    columns = {
        "call_id": call_id,
        "fingerprint": fingerprint,
        "counters": [share.counter_id for share in shares],
        **hold_columns(applying, call),
    }
    if first is not None:
        Hold.objects.filter(pk=first.pk).update(**columns)
    else:
        reservation.holds.create(**columns)


def payer_of(reservation: Reservation) -> Payer:
    return Payer(
        tenant_id=reservation.tenant_id,
        workspace_id=reservation.workspace_id,
        user_id=reservation.user_id,
        api_key_id=reservation.api_key_id,
        time_zone=reservation.time_zone,
    )


def _release_counters(hold: Hold, others: Sequence[int]) -> None:
    """Releases the hold's share, after locking every counter that its replacement will take."""
    freed: dict[str, Any] = {"counters": hold.counters, "cost": hold.cost_bound, "tokens": hold.amount}
    lock_counters([*hold.counters, *others])
    with connection.cursor() as cursor:
        cursor.execute(RELEASE_COUNTERS, freed)


def _check_calls(reservation: Reservation, model: str, fingerprint: str) -> None:
    """Limits the calls of a turn, in total and for one request to a model, free calls included."""
    calls = Hold.objects.of_turn(reservation.id).adopted()
    if calls.count() >= settings.TURN_MAX_CALLS:
        raise TurnLimit(calls=settings.TURN_MAX_CALLS)
    attempts = calls.filter(fingerprint=fingerprint, model=model).count() if fingerprint else 0
    if attempts >= MOST_ATTEMPTS:
        raise RepeatedCall(attempts=attempts)


def has_calls(turn_id: UUID) -> bool:
    """Whether the turn has made a model call."""
    return Hold.objects.of_turn(turn_id).adopted().exists()


def is_settled(turn_id: UUID) -> bool:
    """Whether no call of the turn is in flight, except one that is read on after its reader has left."""
    return not Hold.objects.of_turn(turn_id).sent().not_read_on().exists()


def is_under_way(*, turn_id: UUID, fingerprint: str) -> bool:
    """Whether the turn has a call in flight with the same request."""
    return Hold.objects.of_turn(turn_id).live().filter(fingerprint=fingerprint).exists()


@transaction.atomic
def extend_hold(*, call_id: UUID, output_bound: int, beyond: int) -> bool:
    """Raises the output bound of a sent call's hold, because more has streamed than was expected.

    It may exceed a limit by `beyond` tokens, all calls together: the provider bills streamed output anyway.
    False, with nothing changed, if a limit does not allow it or the call has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(EXTEND, {"call": call_id, "output": output_bound, "beyond": beyond})
        is_extended = bool(cursor.fetchone()[0])
    if not is_extended:
        transaction.set_rollback(True)
    return is_extended


def read_on_until(*, call_id: UUID, seconds: int, streamed_tokens: int) -> bool:
    """Lets a sent call's hold outlive its turn while its reply is read on; False if the hold has ended.

    Some time is added for its settlement. A process that does not settle by then has died: see
    `write_off_left`.
    """
    sent = Hold.objects.sent().filter(call_id=call_id)
    until = Now() + timedelta(seconds=seconds + SETTLING_SECONDS)
    return bool(sent.update(streamed_tokens=streamed_tokens, read_on_until=until))
