"""A model call's share of its turn's reservation: hold, mark sent, settle; idempotent by the call's id."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from kit.errors import DomainError, TurnInterrupted
from quotas.calls import Payer, PlannedCall
from quotas.counters import Share, limits_with_counters, lock_counters, take
from quotas.errors import PriceUnknown, RepeatedCall, TurnLimit
from quotas.limits import Applying, Metric, find_applying
from quotas.models import Hold, Reservation

SETTLING_SECONDS = 10  # with the default of PROVIDER_READ_ON_SECONDS less than a lease: no hold outlives it
MOST_ATTEMPTS = 2  # of one request within a turn: an engine's client may repeat what it thinks was lost

GIVE_BACK = """
    UPDATE quotas_budgetwindow
    SET reserved = reserved - CASE metric WHEN 'cost' THEN %(cost)s ELSE %(tokens)s END
    WHERE id = ANY(%(counters)s::bigint[])
"""

# In the windows that the hold stands in, by their limits as the latest call found them.
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
    """What a call takes of each limit of tokens and cost; PriceUnknown."""
    cost = applying.cost_bound(call)
    return [
        Share(limit, reserve=cost if limit.metric == Metric.COST else call.tokens)
        for limit in applying.of(Metric.TOKENS, Metric.COST)
    ]


def turn_shares(applying: Applying) -> list[Share]:
    """What a turn takes beside its calls: one request of the minute, one place among those at once."""
    return [
        Share(limit, use=1) if limit.metric == Metric.REQUESTS else Share(limit, reserve=1)
        for limit in applying.of(Metric.REQUESTS, Metric.TURNS)
    ]


def foresee(payer: Payer, call: PlannedCall) -> DomainError | None:
    """The refusal that a turn with this call would meet now; None where all limits cover it."""
    applying = find_applying(payer, call)
    try:
        shares = [*call_shares(applying, call), *turn_shares(applying)]
    except PriceUnknown as refusal:
        return refusal
    short = [share for share in shares if share.reserve + share.use > share.limit.remaining]
    first = min(short, key=lambda share: share.limit.is_rate, default=None)
    return first.limit.refusal(first.reserve + first.use) if first else None


def hold_columns(applying: Applying, call: PlannedCall) -> dict[str, Any]:
    """The columns of a hold that say what it was held for, by their names."""
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
    """Holds what the call may cost; the turn's first call adopts the hold that admission took.

    QuotaExceeded or RateLimited when a limit does not cover it, PriceUnknown, TurnInterrupted when the turn
    is closed, TurnLimit when it has made as many calls as a turn may, RepeatedCall when it sent the request
    of this `fingerprint`, to this model, too often.
    """
    if not _adopt(turn_id, call_id, call, fingerprint):
        _hold_anew(turn_id, call_id, call, fingerprint)


def _adopt(turn_id: UUID, call_id: UUID, call: PlannedCall, fingerprint: str) -> bool:
    """Most turns make the very call that they were admitted with."""
    first = Hold.objects.filter(
        reservation_id=turn_id,
        call_id=None,
        state=Hold.State.HELD,
        model=call.model,
        model_id=call.model_id,
        provider=call.provider,
        prompt_bound=call.prompt_bound,
        output_bound=call.output_bound,
    )
    estimate = call.prompt_estimate
    return bool(first.update(call_id=call_id, fingerprint=fingerprint, prompt_estimate=estimate))


@transaction.atomic
def _hold_anew(turn_id: UUID, call_id: UUID, call: PlannedCall, fingerprint: str) -> None:
    reservation = Reservation.objects.select_for_update().filter(id=turn_id).first()
    if reservation is None or reservation.state != Reservation.State.OPEN:
        raise TurnInterrupted
    if Hold.objects.filter(call_id=call_id).exists():
        return
    _check_calls(reservation, call.model, fingerprint)
    applying = limits_with_counters(payer_of(reservation), call)
    shares = call_shares(applying, call)
    first = reservation.holds.select_for_update().filter(call_id=None, state=Hold.State.HELD).first()
    if first is not None:
        _give_back(first, [share.counter_id for share in shares])
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


def _give_back(hold: Hold, others: Sequence[int]) -> None:
    """Frees what the hold took, with every counter locked that its successor will take."""
    freed: dict[str, Any] = {"counters": hold.counters, "cost": hold.cost_bound, "tokens": hold.amount}
    lock_counters([*hold.counters, *others])
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK, freed)


def _check_calls(reservation: Reservation, model: str, fingerprint: str) -> None:
    """Bounds the calls of a turn, in all and for one request to a model, also those that cost nothing."""
    calls = reservation.holds.exclude(call_id=None)
    if calls.count() >= settings.TURN_MAX_CALLS:
        raise TurnLimit(calls=settings.TURN_MAX_CALLS)
    attempts = calls.filter(fingerprint=fingerprint, model=model).count() if fingerprint else 0
    if attempts >= MOST_ATTEMPTS:
        raise RepeatedCall(attempts=attempts)


def has_calls(turn_id: UUID) -> bool:
    """Whether the turn has made a model call."""
    return Hold.objects.filter(reservation_id=turn_id).exclude(call_id=None).exists()


def is_settled(turn_id: UUID) -> bool:
    """Whether no call of the turn is out, except one that is read on after its reader has left."""
    sent = Hold.objects.filter(reservation_id=turn_id, state=Hold.State.SENT)
    return not sent.exclude(read_on_until__gt=Now()).exists()


def is_under_way(*, turn_id: UUID, fingerprint: str) -> bool:
    """Whether the turn has a call out with the same request."""
    return Hold.objects.filter(reservation_id=turn_id, fingerprint=fingerprint, state__in=Hold.LIVE).exists()


def mark_sent(*, call_id: UUID) -> None:
    """From here on the provider may bill: an unanswered call is written off, not released.

    TurnInterrupted when the hold is gone, because the turn was closed meanwhile: then nothing may be sent.
    """
    live = Hold.objects.filter(call_id=call_id, state__in=Hold.LIVE)
    if not live.update(state=Hold.State.SENT):
        raise TurnInterrupted


@transaction.atomic
def extend_hold(*, call_id: UUID, output_bound: int, beyond: int) -> bool:
    """Holds a sent call at a higher bound of its output, because more has streamed than was foreseen.

    It may go `beyond` a limit by so many tokens, all calls together: what streams has been paid for already.
    False, with nothing changed, where a limit does not allow it or the call has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(EXTEND, {"call": call_id, "output": output_bound, "beyond": beyond})
        is_extended = bool(cursor.fetchone()[0])
    if not is_extended:
        transaction.set_rollback(True)
    return is_extended


def read_on_until(*, call_id: UUID, seconds: int, streamed_tokens: int) -> bool:
    """Keeps a sent call's hold beyond its turn's end while its reply is read on; False where it has ended.

    Some time is added for its settlement. Whoever does not settle by then has died: `write_off_left`.
    """
    sent = Hold.objects.filter(call_id=call_id, state=Hold.State.SENT)
    until = Now() + timedelta(seconds=seconds + SETTLING_SECONDS)
    return bool(sent.update(streamed_tokens=streamed_tokens, read_on_until=until))
