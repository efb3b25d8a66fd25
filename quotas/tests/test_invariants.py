"""Under any concurrent changes no limit is exceeded and everything adds up at all times."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tests.cast import Cast, Person
from gateway.tests import snapshot
from kit.errors import RateLimited, TurnInterrupted
from quotas.errors import QuotaExceeded, RepeatedCall
from quotas.hold_states import mark_sent, release_call, settle_call
from quotas.holds import hold_call
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Price, Reservation
from quotas.planned_calls import Payer
from quotas.prices import Usage
from quotas.reservations import close_turn, open_turn
from quotas.tests.ledger import limit_to, note_streamed, planned_call, store_usage
from quotas.tests.test_holds import opened

LIMIT = 400
THREADS, TURNS, STEPS = 8, 32, 8
GPT = {"model": "gpt", "provider": "openai", "upstream_name": "gpt-4o"}


@dataclass
class Player:
    """One turn with random steps in any order, as its engine, its provider or the reaper may take them."""

    chance: random.Random
    payer: Payer
    honest: bool  # charges no more than was held, and in time
    turn: UUID = field(default_factory=uuid4)
    calls: dict[UUID, tuple[int, int]] = field(default_factory=dict)

    def play(self) -> None:
        with suppress(QuotaExceeded, RateLimited):
            prompt, output = self.bounds()
            with transaction.atomic():
                open_turn(
                    turn_id=self.turn,
                    payer=self.payer,
                    call=planned_call(prompt, output, **GPT),
                    purpose="chat",
                    engine="direct",
                    lease_seconds=60,
                )
            for _ in range(self.chance.randint(0, STEPS)):
                self.step()
        self.end()

    def step(self) -> None:
        steps = [self.hold, self.send, self.stream, self.settle, self.release]
        if not self.honest:
            steps += [self.close, self.expire]
        with suppress(QuotaExceeded, RateLimited, TurnInterrupted, RepeatedCall):
            self.chance.choice(steps)()

    def end(self) -> None:
        if self.honest:  # a provider that reports in time
            for call in self.calls:
                settle_call(call_id=call, usage=self.usage(call))
        self.close()
        for call in self.calls:
            if not self.honest and self.chance.random() < 0.5:
                settle_call(call_id=call, usage=self.usage(call))

    def hold(self) -> None:
        call, (prompt, output) = uuid4(), self.bounds()
        hold_call(turn_id=self.turn, call_id=call, call=planned_call(prompt, output, **GPT))
        self.calls[call] = (prompt, output)

    def send(self) -> None:
        mark_sent(call_id=self.any_call())

    def stream(self) -> None:
        note_streamed(call_id=self.any_call(), streamed_tokens=self.chance.randint(0, 20))

    def settle(self) -> None:
        call = self.any_call()
        settle_call(call_id=call, usage=self.usage(call))

    def release(self) -> None:
        release_call(call_id=self.any_call())

    def close(self) -> None:
        close_turn(turn_id=self.turn)

    def expire(self) -> None:
        Reservation.objects.filter(id=self.turn).update(lease_expires_at=Now() - timedelta(seconds=1))
        close_turn(turn_id=self.turn, only_expired=True)

    def any_call(self) -> UUID:
        return self.chance.choice([*self.calls, *([] if self.calls else [uuid4()])])

    def bounds(self) -> tuple[int, int]:
        return self.chance.randint(1, 30), self.chance.randint(1, 30)

    def usage(self, call: UUID) -> Usage:
        prompt, output = self.calls.get(call, (1, 1))
        more = 0 if self.honest else 40
        read, written = self.chance.randint(0, prompt + more), self.chance.randint(0, output + more)
        return Usage(read, written, cached_tokens=read // 2, reasoning_tokens=written // 3)


def limit_everything(cast: Cast) -> None:
    """Every level, metric and window, low enough that each refuses some calls."""
    limit_to(cast.alice, 3 * LIMIT, level="tenant")
    limit_to(cast.alice, 8 * LIMIT, level="tenant", metric="cost", window="day")
    limit_to(cast.alice, LIMIT)
    limit_to(cast.dana, LIMIT)
    limit_to(cast.alice, LIMIT, level="member", window="total")
    limit_to(cast.alice, LIMIT, level="member", window="minute")
    limit_to(
        cast.alice, 3 * LIMIT, level="member", metric="cost", workspace_id=cast.bob.principal.workspace.id
    )
    limit_to(cast.alice, 6, level="workspace", metric="turns", window="at_once", workspace_id=None)
    limit_to(cast.alice, 20, level="member", metric="requests", window="minute")
    limit_to(cast.alice, LIMIT // 2, level="api_key")
    Price.objects.create(
        provider="openai",
        model="gpt-4o",
        input=3_333_333,
        output=7_000_001,
        effective_from="2026-01-01T00:00Z",
    )


def payers(cast: Cast) -> list[Payer]:
    people: list[Person] = [cast.alice, cast.bob, cast.dana]
    known = [Payer.of(person.principal) for person in people]
    return [*known, replace(known[0], api_key_id=uuid4()), replace(known[1], api_key_id=uuid4())]


@contextmanager
def watched(*, never_over: bool) -> Iterator[None]:
    """Checks the ledger repeatedly on a separate connection while the block runs."""
    over, wrong = threading.Event(), []

    def watch() -> None:
        try:
            while not over.is_set() and not wrong:
                wrong.extend(check_ledger().differences)
                if never_over:
                    too_much = BudgetWindow.objects.filter(used__gt=F("limit") + F("granted") - F("reserved"))
                    wrong.extend(str(counter) for counter in too_much)
        finally:
            connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert wrong == []


@pytest.mark.django_db(transaction=True)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_everything_adds_up_in_some_interleavings_on_many_connections(cast: Cast, seed: int) -> None:
    play_on_many_connections(cast, honest=True, seed=seed)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("honest", [True, False])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_everything_adds_up_in_any_interleaving_on_many_connections(
    cast: Cast, honest: bool, seed: int
) -> None:
    play_on_many_connections(cast, honest=honest, seed=seed)


def play_on_many_connections(cast: Cast, *, honest: bool, seed: int) -> None:
    snapshot.restore()
    limit_everything(cast)
    who = payers(cast)

    def one(number: int) -> None:
        chance = random.Random(seed + number)
        try:
            Player(chance, chance.choice(who), honest).play()
        finally:
            connection.close()

    with watched(never_over=honest), ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(TURNS)))
    proof = check_ledger()
    assert proof.differences == []
    assert (proof.live_calls, Reservation.objects.filter(state="open").count()) == (0, 0)
    assert not BudgetWindow.objects.exclude(reserved=0).exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_admissions_never_reserve_more_than_the_limit(cast: Cast) -> None:
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


def spoil_counter() -> None:
    BudgetWindow.objects.update(used=F("used") + 1)


def spoil_reserve() -> None:
    BudgetWindow.objects.update(reserved=F("reserved") + 1)


def spoil_day() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE quotas_usageday SET cost = cost + 1")


@pytest.mark.django_db
@pytest.mark.parametrize("spoil", [spoil_counter, spoil_reserve, spoil_day])
def test_the_ledger_check_finds_differences(cast: Cast, spoil: object) -> None:
    store_usage(cast.alice)
    assert check_ledger().differences == []
    spoil()  # type: ignore[operator]
    assert len(check_ledger().differences) == 1
