"""The breaker opens after five outages in a row, and allows one trial after half a minute."""

from uuid import uuid4

import pytest

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.breaker import CircuitBreaker, breaker_for
from kit.errors import AtCapacity

DOWN = ProviderError(provider="openai", provider_status=503, transient=True)
AWAY = ProviderError(provider="openai", did_no_work=True, transient=True)
SLOW = ProviderTimeout(provider="openai", transient=True)
BUSY = ProviderError(provider="openai", provider_status=429, transient=True)
WRONG = ProviderError(provider="openai", provider_status=401)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock=clock)


def outcome_of(breaker: CircuitBreaker, outcome: BaseException | None = None) -> str:
    """The outcome of one attempt: `answered`, `failed`, or `refused` by the breaker itself."""
    try:
        with breaker.attempt("openai"):
            if outcome is not None:
                raise outcome
    except BaseException as exc:
        return "failed" if exc is outcome else "refused"
    return "answered"


def test_five_outages_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    assert [outcome_of(breaker, outage) for outage in (DOWN, AWAY, SLOW, DOWN, DOWN)] == ["failed"] * 5
    with pytest.raises(ProviderError, match=r"is failing. Try again in 30 s\.") as refusal:
        breaker.attempt("openai").__enter__()
    assert refusal.value.did_no_work
    assert refusal.value.retry_after == 30


def test_a_success_resets_the_count(breaker: CircuitBreaker) -> None:
    for outcome in (*[DOWN] * 4, None, *[DOWN] * 4):
        outcome_of(breaker, outcome)
    assert not breaker.is_open


def test_refusals_and_rate_limits_do_not_count(breaker: CircuitBreaker) -> None:
    for outcome in (*[DOWN] * 4, WRONG, BUSY, RuntimeError(), *[BUSY] * 9):
        assert outcome_of(breaker, outcome) == "failed"
    assert not breaker.is_open
    outcome_of(breaker, DOWN)
    assert breaker.is_open


def test_one_trial_is_allowed_after_half_a_minute(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(5):
        outcome_of(breaker, DOWN)
    clock.now += 29.9
    assert outcome_of(breaker) == "refused"
    clock.now += 0.2
    with breaker.attempt("openai") as answered:
        assert outcome_of(breaker) == "refused"  # one at a time
        answered()
        assert outcome_of(breaker) == "answered"  # the first event is enough
    assert not breaker.is_open


def test_a_failed_trial_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(5):
        outcome_of(breaker, DOWN)
    clock.now += 31
    assert [outcome_of(breaker, DOWN), outcome_of(breaker)] == ["failed", "refused"]
    clock.now += 31
    assert outcome_of(breaker) == "answered"


@pytest.mark.parametrize("outcome", [GeneratorExit(), WRONG, BUSY])
def test_after_a_neutral_trial_another_one_is_allowed(
    breaker: CircuitBreaker, clock: Clock, outcome: BaseException
) -> None:
    for _ in range(5):
        outcome_of(breaker, DOWN)
    clock.now += 31
    assert [outcome_of(breaker, outcome), outcome_of(breaker)] == ["failed", "answered"]


def test_a_reply_that_began_before_proves_nothing(breaker: CircuitBreaker) -> None:
    with breaker.attempt("openai"):
        for _ in range(5):
            outcome_of(breaker, DOWN)
    assert breaker.is_open


def test_each_owner_key_and_base_url_has_its_own_breaker() -> None:
    ours, theirs = uuid4(), uuid4()
    one = breaker_for(provider="openai", base_url="https://a", key="k", owner_id=ours)
    assert breaker_for(provider="openai", base_url="https://a", key="k", owner_id=ours) is one
    assert breaker_for(provider="openai", base_url="https://a", key="k", owner_id=theirs) is not one
    assert breaker_for(provider="openai", base_url="https://a", key="l", owner_id=ours) is not one
    assert breaker_for(provider="openai", base_url="https://b", key="k", owner_id=ours) is not one
    assert breaker_for(provider="azure", base_url="https://a", key="k", owner_id=ours) is not one


def test_a_limit_of_our_own_is_not_an_outage(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(9):
        assert outcome_of(breaker, AtCapacity()) == "failed"
    assert not breaker.is_open
    for _ in range(5):
        outcome_of(breaker, DOWN)
    clock.now += 31
    assert [outcome_of(breaker, AtCapacity()), outcome_of(breaker)] == ["failed", "answered"]
