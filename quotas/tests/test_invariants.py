"""Whatever happens at once on many connections: never over the limit, and the sums agree at the end."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tests.cast import Cast
from kit.errors import QuotaExceeded, TurnInterrupted
from quotas.holds import hold_call, mark_sent
from quotas.models import BudgetWindow, Hold, UsageRecord
from quotas.prices import Usage
from quotas.reservations import close_turn
from quotas.settling import release_call, settle_call
from quotas.tests.ledger import limit_to, planned_call
from quotas.tests.test_holds import held, opened

LIMIT = 400
STEPS = ("call", "send", "settle", "release", "close")


def run_turn(cast: Cast, seed: int) -> None:
    """One turn that does a random but legal sequence of things, and at last is closed."""
    chance = random.Random(seed)
    try:
        turn = opened(cast, prompt=chance.randint(1, 30), output=chance.randint(1, 30))
        calls: list = []
        for _ in range(chance.randint(0, 6)):
            step = chance.choice(STEPS)
            if step == "call":
                calls.append(held(turn, prompt=chance.randint(1, 30), output=chance.randint(1, 30)))
            elif step == "close":
                break
            elif calls:
                touch(step, chance.choice(calls), chance)
        close_turn(turn_id=turn)
        for call in calls:
            if chance.random() < 0.5:
                settle_call(call_id=call, usage=Usage(chance.randint(0, 30), chance.randint(0, 30)))
    except QuotaExceeded:
        pass


def touch(step: str, call: object, chance: random.Random) -> None:
    if step == "send":
        with suppress(TurnInterrupted):  # settled or released already, as chance has it
            mark_sent(call_id=call)
    elif step == "settle":
        settle_call(call_id=call, usage=Usage(chance.randint(0, 30), chance.randint(0, 30)))
    else:
        release_call(call_id=call)


def check_sums() -> None:
    window = BudgetWindow.objects.get()
    ledger = sum(record.input_tokens + record.output_tokens for record in UsageRecord.objects.all())
    assert window.used == ledger
    live = Hold.objects.filter(state__in=["held", "sent"])
    assert window.reserved == sum(hold.amount for hold in live)


@pytest.mark.django_db(transaction=True)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_the_sums_agree_after_any_interleaving_on_many_connections(cast: Cast, seed: int) -> None:
    limit_to(cast.alice, LIMIT)

    def one(number: int) -> None:
        try:
            run_turn(cast, seed + number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(24)))
    check_sums()


@pytest.mark.django_db(transaction=True)
def test_admissions_at_once_never_reserve_more_than_the_limit(cast: Cast) -> None:
    limit_to(cast.alice, LIMIT)
    barrier = threading.Barrier(16)

    def one(_: int) -> int:
        passed = 0
        barrier.wait()
        try:
            for _ in range(10):
                try:
                    opened(cast, prompt=7, output=10)
                    passed += 1
                except QuotaExceeded:
                    break
        finally:
            connection.close()
        return passed

    with ThreadPoolExecutor(16) as threads:
        passed = sum(threads.map(one, range(16)))
    assert passed == LIMIT // 17
    window = BudgetWindow.objects.get()
    assert (window.used, window.reserved) == (0, passed * 17)


@pytest.mark.django_db
def test_a_call_of_an_unknown_turn_is_refused() -> None:
    with pytest.raises(TurnInterrupted):
        hold_call(turn_id=uuid4(), call_id=uuid4(), call=planned_call(1, 1))
