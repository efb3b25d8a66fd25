"""A model call's share of its turn's reservation: hold, mark sent, settle; idempotent by the call's id.

Locks are taken in one order everywhere: reservation, hold, counters.
"""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from kit.errors import RepeatedCall, TurnInterrupted, TurnLimit
from quotas.models import BudgetWindow, Hold, Reservation, UsageRecord
from quotas.windows import current_window, reserve

MOST_ATTEMPTS = 2  # of one request within a turn: an engine's client may repeat what it thinks was lost
MOST_TOKENS = 10**12  # a provider that reports more is not believed beyond this


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, and how we know."""

    input_tokens: int
    output_tokens: int
    exactness: str = UsageRecord.Exactness.EXACT

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


@transaction.atomic
def hold_call(
    *,
    turn_id: UUID,
    call_id: UUID,
    model: str,
    provider: str,
    prompt_bound: int,
    output_bound: int,
    fingerprint: str = "",
) -> None:
    """Holds what the call may cost; the turn's first call adopts the hold that admission took.

    QuotaExceeded when the budget does not cover it, TurnInterrupted when the turn is closed, TurnLimit when
    it has made as many calls as a turn may, RepeatedCall when it sent the request of this `fingerprint`, to
    this model, too often.
    """
    reservation = Reservation.objects.select_for_update().filter(id=turn_id).first()
    if reservation is None or reservation.state != Reservation.State.OPEN:
        raise TurnInterrupted
    if Hold.objects.filter(call_id=call_id).exists():
        return
    _check_calls(reservation, model, fingerprint)
    bounds = {"prompt_bound": prompt_bound, "output_bound": output_bound, "fingerprint": fingerprint}
    hold = (
        reservation.holds.filter(call_id=None, state=Hold.State.HELD).select_related("window__budget").first()
    )
    if hold is None:
        window = current_window(reservation.workspace_id)
        reserve(window, prompt_bound + output_bound)
        reservation.holds.create(call_id=call_id, window=window, model=model, provider=provider, **bounds)
        return
    reserve(hold.window, prompt_bound + output_bound - hold.amount)
    Hold.objects.filter(pk=hold.pk).update(call_id=call_id, model=model, provider=provider, **bounds)


def _check_calls(reservation: Reservation, model: str, fingerprint: str) -> None:
    """Bounds the calls of a turn, in all and for one request to a model, also those that cost nothing."""
    calls = reservation.holds.exclude(call_id=None)
    if calls.count() >= settings.TURN_MAX_CALLS:
        raise TurnLimit(calls=settings.TURN_MAX_CALLS)
    if fingerprint and calls.filter(fingerprint=fingerprint, model=model).count() >= MOST_ATTEMPTS:
        raise RepeatedCall(attempts=MOST_ATTEMPTS)


def has_calls(turn_id: UUID) -> bool:
    """Whether the turn has made a model call."""
    return Hold.objects.filter(reservation_id=turn_id).exclude(call_id=None).exists()


def is_settled(turn_id: UUID) -> bool:
    """Whether no call of the turn is out."""
    return not Hold.objects.filter(reservation_id=turn_id, state=Hold.State.SENT).exists()


def is_under_way(*, turn_id: UUID, fingerprint: str) -> bool:
    """Whether the turn has a call out with the same request."""
    live = [Hold.State.HELD, Hold.State.SENT]
    return Hold.objects.filter(reservation_id=turn_id, fingerprint=fingerprint, state__in=live).exists()


def mark_sent(*, call_id: UUID) -> None:
    """From here on the provider may bill: an unanswered call is written off, not released.

    TurnInterrupted when the hold is gone, because the turn was closed meanwhile: then nothing may be sent.
    """
    live = Hold.objects.filter(call_id=call_id, state__in=[Hold.State.HELD, Hold.State.SENT])
    if not live.update(state=Hold.State.SENT):
        raise TurnInterrupted


def note_streamed(*, call_id: UUID, streamed_tokens: int) -> None:
    """Remembers how much has streamed, for a write-off should this process die."""
    Hold.objects.filter(call_id=call_id, state=Hold.State.SENT).update(streamed_tokens=streamed_tokens)


@transaction.atomic
def settle_call(*, call_id: UUID, usage: Usage) -> None:
    """Turns the hold into use and writes the ledger line; never fails over money.

    An excess over what was held is flagged `overrun`. After a write-off the difference is posted as a
    correction; a second settlement changes nothing.
    """
    hold = (
        Hold.objects.select_for_update(of=("self",))
        .select_related("reservation")
        .filter(call_id=call_id)
        .first()
    )
    if hold is None or hold.state == Hold.State.SETTLED:
        return
    usage = Usage(_bounded(usage.input_tokens), _bounded(usage.output_tokens), usage.exactness)
    if hold.state == Hold.State.WRITTEN_OFF:
        _correct(hold, usage)
    else:
        _post(hold, usage)
    hold.overrun = usage.total > hold.amount
    _end(hold, Hold.State.SETTLED)


@transaction.atomic
def release_call(*, call_id: UUID) -> None:
    """Gives a hold back whose call was never sent, or which the provider certainly did no work for."""
    live = Hold.objects.select_for_update().filter(
        call_id=call_id, state__in=[Hold.State.HELD, Hold.State.SENT]
    )
    hold = live.first()
    if hold is not None:
        _release(hold)


def end_hold(hold: Hold) -> None:
    """Ends a locked hold without the provider's word: held → released, sent → written off as estimated."""
    if hold.state == Hold.State.HELD:
        _release(hold)
    elif hold.state == Hold.State.SENT:
        _post(hold, Usage(hold.prompt_bound, hold.streamed_tokens, UsageRecord.Exactness.ESTIMATED))
        _end(hold, Hold.State.WRITTEN_OFF)


def _release(hold: Hold) -> None:
    _move_counters(hold, used=0)
    _end(hold, Hold.State.RELEASED)


def _end(hold: Hold, state: Hold.State) -> None:
    hold.state = state
    hold.ended_at = timezone.now()
    hold.save(update_fields=["state", "overrun", "ended_at"])


def _post(hold: Hold, usage: Usage) -> None:
    _move_counters(hold, used=usage.total)
    _record(hold, usage, is_correction=False)


def _correct(hold: Hold, usage: Usage) -> None:
    """The written-off line stands; a second one brings the sum to the truth."""
    written = UsageRecord.objects.get(call_id=cast("UUID", hold.call_id), is_correction=False)
    change = Usage(
        usage.input_tokens - written.input_tokens,
        usage.output_tokens - written.output_tokens,
        usage.exactness,
    )
    if hold.window_id is not None:
        BudgetWindow.objects.filter(id=hold.window_id).update(used=F("used") + change.total)
    _record(hold, change, is_correction=True)


def _move_counters(hold: Hold, *, used: int) -> None:
    reserved = hold.amount if hold.state in {Hold.State.HELD, Hold.State.SENT} else 0
    if hold.window_id is not None:
        BudgetWindow.objects.filter(id=hold.window_id).update(
            used=F("used") + used, reserved=F("reserved") - reserved
        )


def _record(hold: Hold, usage: Usage, *, is_correction: bool) -> None:
    turn = hold.reservation
    UsageRecord.objects.create(
        tenant_id=turn.tenant_id,
        workspace_id=turn.workspace_id,
        user_id=turn.user_id,
        turn_id=turn.id,
        call_id=cast("UUID", hold.call_id),  # a sent hold was adopted
        purpose=turn.purpose,
        model=hold.model,
        provider=hold.provider,
        engine=turn.engine,
        window_id=hold.window_id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        exactness=usage.exactness,
        is_correction=is_correction,
    )


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), MOST_TOKENS)
