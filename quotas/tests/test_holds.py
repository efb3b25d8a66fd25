"""The contract of Reservation and Hold: each step once, in order, and the counters always add up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now

from accounts.tests.cast import Cast
from kit.errors import TurnInterrupted
from quotas.errors import QuotaExceeded
from quotas.hold_states import mark_sent, release_call, settle_call
from quotas.holds import hold_call, read_on_until
from quotas.ledger_audit import check_ledger
from quotas.models import Budget, BudgetWindow, Hold, Reservation, TenantPlan, UsageDay, UsageRecord
from quotas.planned_calls import Payer
from quotas.prices import Usage
from quotas.reservations import close_turn, expired_reservations, open_turn, turn_usage
from quotas.tests.ledger import limit_to, note_streamed, planned_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def budget(cast: Cast) -> Budget:
    return limit_to(cast.alice, 100)


def opened(cast: Cast, *, prompt: int = 10, output: int = 20, lease: int = 60) -> UUID:
    turn_id = uuid4()
    open_turn(
        turn_id=turn_id,
        payer=Payer.of(cast.alice.principal),
        call=planned_call(prompt, output),
        purpose="chat",
        engine="direct",
        lease_seconds=lease,
    )
    return turn_id


def held(
    turn_id: UUID,
    *,
    prompt: int = 10,
    output: int = 20,
    call_id: UUID | None = None,
    estimate: int | None = None,
) -> UUID:
    call_id = call_id or uuid4()
    call = replace(planned_call(prompt, output), prompt_estimate=estimate)
    hold_call(turn_id=turn_id, call_id=call_id, call=call)
    return call_id


def counters() -> tuple[int, int]:
    window = BudgetWindow.objects.get()
    ledger = UsageRecord.objects.aggregate(i=Sum("input_tokens"), o=Sum("output_tokens"))
    assert window.used == (ledger["i"] or 0) + (ledger["o"] or 0), "the ledger and the counter differ"
    return window.used, window.reserved


def test_admission_reserves_and_the_first_call_adopts_its_hold(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    assert counters() == (0, 30)
    held(turn)
    assert counters() == (0, 30)
    assert Hold.objects.count() == 1


def test_a_first_call_larger_than_admitted_reserves_the_difference(cast: Cast, budget: Budget) -> None:
    held(opened(cast), prompt=15, output=25)
    assert counters() == (0, 40)


def test_a_first_call_that_outgrows_the_budget_is_refused_and_changes_nothing(
    cast: Cast, budget: Budget
) -> None:
    turn = opened(cast)
    with pytest.raises(QuotaExceeded):
        held(turn, prompt=60, output=60)
    assert counters() == (0, 30)


def test_a_second_call_takes_a_hold_of_its_own(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    held(turn)
    held(turn, prompt=5, output=5)
    assert counters() == (0, 40)


def test_a_second_call_beyond_the_budget_is_refused(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    held(turn)
    with pytest.raises(QuotaExceeded) as refusal:
        held(turn, prompt=50, output=50)
    assert refusal.value.details["reserved"] == 30
    assert refusal.value.details["requested"] == 100
    assert "tokens left. This needs up to 100 tokens." in refusal.value.text


def test_holding_twice_by_one_call_id_holds_once(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    call = held(turn)
    held(turn, call_id=call)
    assert counters() == (0, 30)


def test_a_call_whose_turn_was_closed_is_not_sent(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    call = held(turn)
    close_turn(turn_id=turn)
    with pytest.raises(TurnInterrupted):
        mark_sent(call_id=call)
    assert counters() == (0, 0)


def test_a_settlement_turns_the_hold_into_usage(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    call = held(turn)
    mark_sent(call_id=call)
    settle_call(call_id=call, usage=Usage(8, 5))
    assert counters() == (13, 0)
    assert Hold.objects.get().state == "settled"


def test_settling_twice_charges_once(cast: Cast, budget: Budget) -> None:
    call = held(opened(cast))
    mark_sent(call_id=call)
    for _ in range(2):
        settle_call(call_id=call, usage=Usage(8, 5))
    assert counters() == (13, 0)
    assert UsageRecord.objects.count() == 1


def test_a_settlement_above_the_hold_is_flagged_and_never_fails(cast: Cast, budget: Budget) -> None:
    call = held(opened(cast))
    mark_sent(call_id=call)
    settle_call(call_id=call, usage=Usage(500, 500))
    assert counters() == (1000, 0)
    assert Hold.objects.get().overrun
    with pytest.raises(QuotaExceeded):
        opened(cast)


@pytest.mark.parametrize("absurd", [Usage(-5, -5), Usage(10**30, 10**30)])
def test_absurd_reports_are_bounded(cast: Cast, budget: Budget, absurd: Usage) -> None:
    call = held(opened(cast))
    mark_sent(call_id=call)
    settle_call(call_id=call, usage=absurd)
    used, reserved = counters()
    assert 0 <= used <= 2 * 10**9
    assert reserved == 0


def test_a_call_that_was_never_answered_can_be_released(cast: Cast, budget: Budget) -> None:
    call = held(opened(cast))
    mark_sent(call_id=call)
    release_call(call_id=call)
    release_call(call_id=call)
    assert counters() == (0, 0)


def test_closing_releases_held_calls_and_writes_off_sent_ones(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    sent = held(turn)
    mark_sent(call_id=sent)
    note_streamed(call_id=sent, streamed_tokens=7)
    held(turn, prompt=5, output=5)
    assert close_turn(turn_id=turn)
    assert counters() == (17, 0)
    assert sorted(Hold.objects.values_list("state", flat=True)) == ["released", "written_off"]
    assert UsageRecord.objects.get().exactness == "estimated"
    assert not close_turn(turn_id=turn)
    assert counters() == (17, 0)


@pytest.mark.parametrize("is_first", [True, False])  # adopts the hold of admission, or takes its own
@pytest.mark.parametrize(("estimate", "charge"), [(4, 4), (0, 0), (10, 10), (11, 10), (None, 10)])
def test_a_write_off_charges_the_prompt_estimate_and_never_more_than_its_bound(
    cast: Cast, budget: Budget, is_first: bool, estimate: int | None, charge: int
) -> None:
    turn = opened(cast, prompt=10 if is_first else 1)
    sent = held(turn, estimate=estimate)
    mark_sent(call_id=sent)
    assert counters() == (0, 30), "the bound is held"
    close_turn(turn_id=turn)
    assert counters() == (charge, 0)
    assert check_ledger().differences == []


def test_a_call_that_is_read_on_counts_with_its_prompt_estimate_until_it_is_settled(
    cast: Cast, budget: Budget
) -> None:
    turn = opened(cast)
    call = held(turn, estimate=4)
    mark_sent(call_id=call)
    read_on_until(call_id=call, seconds=30, streamed_tokens=12)
    close_turn(turn_id=turn)
    usage = turn_usage(turn)
    assert (usage.input_tokens, usage.output_tokens, usage.exactness) == (4, 12, "estimated")
    settle_call(call_id=call, usage=Usage(5, 13))
    assert turn_usage(turn).total == 18


@pytest.mark.parametrize("truth", [Usage(10, 15), Usage(10, 2), Usage(10, 7)])
def test_a_settlement_after_a_write_off_posts_the_difference(
    cast: Cast, budget: Budget, truth: Usage
) -> None:
    turn = opened(cast)
    call = held(turn)
    mark_sent(call_id=call)
    note_streamed(call_id=call, streamed_tokens=7)
    close_turn(turn_id=turn)
    for _ in range(2):
        settle_call(call_id=call, usage=truth)
    assert counters() == (truth.total, 0)
    assert turn_usage(turn).total == truth.total
    assert UsageRecord.objects.filter(is_correction=True).count() == 1


@pytest.mark.parametrize(
    ("streamed", "truth", "flagged"),
    [
        (25, Usage(10, 25), 1),  # the write-off and its correction exceed the hold
        (25, Usage(10, 15), 1),
        (7, Usage(10, 25), 1),
        (25, Usage(10, 15, flag="implausible"), 1),
        (7, Usage(10, 15, flag="implausible"), 1),
        (7, Usage(10, 15), 0),
    ],
)
def test_a_call_with_several_lines_counts_once_as_flagged(
    cast: Cast, budget: Budget, streamed: int, truth: Usage, flagged: int
) -> None:
    turn = opened(cast)
    call = held(turn)
    mark_sent(call_id=call)
    note_streamed(call_id=call, streamed_tokens=streamed)
    close_turn(turn_id=turn)
    settle_call(call_id=call, usage=truth)
    assert UsageRecord.objects.count() == 2
    assert UsageDay.objects.get().flagged_calls == flagged
    assert check_ledger().differences == []


@pytest.mark.parametrize("is_settled", [False, True])
def test_the_shown_output_of_a_reply_that_is_read_on_is_not_charged_to_the_next(
    cast: Cast, budget: Budget, is_settled: bool
) -> None:
    turn = opened(cast)
    first, second = held(turn), held(turn)
    for call in (first, second):
        mark_sent(call_id=call)
    read_on_until(call_id=first, seconds=30, streamed_tokens=12)
    if is_settled:
        settle_call(call_id=first, usage=Usage(10, 12))
    close_turn(turn_id=turn, shown_tokens=17)
    assert UsageRecord.objects.get(call_id=second).output_tokens == 5
    assert turn_usage(turn).output_tokens == 17


def test_a_closed_turn_cannot_make_calls(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    close_turn(turn_id=turn)
    with pytest.raises(TurnInterrupted):
        held(turn)
    assert counters() == (0, 0)


def test_a_refused_admission_stores_nothing(cast: Cast, budget: Budget, db: Any) -> None:
    with pytest.raises(QuotaExceeded), transaction.atomic():
        opened(cast, prompt=60, output=60)
    assert not Reservation.objects.exists()
    assert not Hold.objects.exists()


def test_without_a_budget_there_is_no_limit(cast: Cast, budget: Budget) -> None:
    budget.delete()
    TenantPlan.objects.all().delete()
    turn = opened(cast, prompt=10**9, output=10**9)
    call = held(turn)
    mark_sent(call_id=call)
    settle_call(call_id=call, usage=Usage(1, 1))
    close_turn(turn_id=turn)
    assert UsageRecord.objects.count() == 1


def test_an_expired_lease_is_found(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    assert expired_reservations() == []
    Reservation.objects.update(lease_expires_at=Now() - timedelta(seconds=1))
    assert [lost.turn_id for lost in expired_reservations()] == [turn]


def test_only_an_expired_turn_is_reaped(cast: Cast, budget: Budget) -> None:
    turn = opened(cast)
    assert not close_turn(turn_id=turn, only_expired=True)
    Reservation.objects.update(lease_expires_at=Now() - timedelta(seconds=1))
    assert close_turn(turn_id=turn, only_expired=True)
