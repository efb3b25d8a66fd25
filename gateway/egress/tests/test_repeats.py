"""A repeated request within a turn ends and settles the older attempt; at most two are allowed."""

import threading
from collections.abc import Callable

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.egress.tests.engine import (
    DONE,
    Engine,
    EngineTurn,
    begin_turn,
    counters,
    ledger,
    received,
    until_text,
)
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until

Begin = Callable[..., EngineTurn]


@pytest.mark.parametrize("where", ["same egress", "other egress"])
def test_a_repeated_request_ends_the_older_attempt(
    engine: Engine, second_engine: Engine, begin: Begin, provider: ScriptedProvider, where: str
) -> None:
    provider.scripts = [Script(steps=["One ", threading.Event()]), Script(steps=["Another"])]
    turn = begin()
    with engine.calling(turn) as older:
        until_text(older, "One ")
        newer = {"same egress": engine, "other egress": second_engine}[where]
        assert received(newer.call(turn))[-1] == DONE
        with pytest.raises(httpx.RemoteProtocolError):
            list(older)
    assert provider.hangups.acquire(timeout=20)
    wait_until(lambda: sorted(ledger()) == [(3, 1, "estimated"), (3, 1, "exact")])
    assert counters() == (8, 0)


@pytest.mark.parametrize("where", ["same egress", "other egress"])
def test_a_third_identical_request_is_refused(
    engine: Engine, second_engine: Engine, begin: Begin, provider: ScriptedProvider, where: str
) -> None:
    turn = begin()
    for _ in range(2):
        received(engine.call(turn))
    answer = {"same egress": engine, "other egress": second_engine}[where].call(turn)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "repeated_call")
    assert (len(provider.requests), counters()) == (2, (12, 0))


def test_a_repeat_before_any_output_ends_the_older_attempt_with_a_status(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    """A request without a stream has not received any headers."""
    provider.scripts = [Script(steps=[threading.Event()]), Script()]
    turn, answers = begin(), []
    older = threading.Thread(target=lambda: answers.append(engine.call(turn, stream=None)))
    older.start()
    wait_until(lambda: len(provider.requests) == 1)
    assert engine.call(turn, stream=None).status_code == 200
    older.join(5)
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (409, "turn_interrupted")
    ]
    assert counters() == (9, 0)


def test_other_requests_and_other_turns_continue(
    engine: Engine, begin: Begin, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.scripts = [Script(steps=["One ", gate, "two"])]
    turn = begin()
    with engine.calling(turn) as said:
        until_text(said, "One ")
        for another in (begin(), begin_turn(cast.bob), begin_turn(cast.charlie)):
            received(engine.call(another))
        received(engine.call(turn, max_tokens=19))
        stranger = begin_turn(cast.charlie)
        forged = turn.with_ids(engine_user_id=stranger.engine_user_id)
        assert engine.call(forged).status_code == 404
        gate.set()
        assert list(said)[-1] == DONE


def test_many_concurrent_repeats_leave_nothing_held(
    engine: Engine, second_engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", "two "])
    turn, statuses = begin(), []

    def call(one: Engine) -> None:
        try:
            statuses.append(one.call(turn).status_code)
        except httpx.RemoteProtocolError:
            statuses.append(200)  # ended during the reply by a newer one

    calls = [threading.Thread(target=call, args=[one]) for one in [engine, second_engine] * 6]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join(10)
    assert len(statuses) == 12
    assert set(statuses) <= {200, 409}
    wait_until(lambda: counters()[1] in (0, 23))  # 23: taken by admission, if no call came that far
    assert len(provider.requests) <= 2
