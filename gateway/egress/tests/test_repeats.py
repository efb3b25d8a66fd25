"""A request that comes again within its turn ends the older attempt and settles it; two at most."""

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
    told,
    until_text,
)
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until

Begin = Callable[..., EngineTurn]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_same_request_again_ends_the_older_attempt(
    engine: Engine, elsewhere: Engine, begin: Begin, provider: ScriptedProvider, where: str
) -> None:
    provider.scripts = [Script(steps=["One ", threading.Event()]), Script(steps=["Another"])]
    turn = begin()
    with engine.calling(turn) as older:
        until_text(older, "One ")
        newer = {"here": engine, "elsewhere": elsewhere}[where]
        assert told(newer.call(turn))[-1] == DONE
        with pytest.raises(httpx.RemoteProtocolError):
            list(older)
    assert provider.hangups.acquire(timeout=5)
    wait_until(lambda: sorted(ledger()) == [(3, 1, "estimated"), (3, 1, "exact")])
    assert counters() == (8, 0)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_third_of_its_kind_is_refused(
    engine: Engine, elsewhere: Engine, begin: Begin, provider: ScriptedProvider, where: str
) -> None:
    turn = begin()
    for _ in range(2):
        told(engine.call(turn))
    answer = {"here": engine, "elsewhere": elsewhere}[where].call(turn)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "repeated_call")
    assert (len(provider.requests), counters()) == (2, (12, 0))


def test_a_repeat_while_nothing_was_answered_yet_ends_the_older_with_a_status(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    """One that asked for no stream has had no headers."""
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


def test_other_requests_and_other_turns_go_on(
    engine: Engine, begin: Begin, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.scripts = [Script(steps=["One ", gate, "two"])]
    turn = begin()
    with engine.calling(turn) as said:
        until_text(said, "One ")
        for another in (begin(), begin_turn(cast.bob), begin_turn(cast.charlie)):
            told(engine.call(another))
        told(engine.call(turn, max_tokens=19))
        stranger = begin_turn(cast.charlie)
        forged = turn.saying(engine_user_id=stranger.engine_user_id)
        assert engine.call(forged).status_code == 404
        gate.set()
        assert list(said)[-1] == DONE


def test_many_repeats_at_once_leave_nothing_held(
    engine: Engine, elsewhere: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", "two "])
    turn, statuses = begin(), []

    def call(one: Engine) -> None:
        try:
            statuses.append(one.call(turn).status_code)
        except httpx.RemoteProtocolError:
            statuses.append(200)  # ended in mid-reply by a newer one

    calls = [threading.Thread(target=call, args=[one]) for one in [engine, elsewhere] * 6]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join(10)
    assert len(statuses) == 12
    assert set(statuses) <= {200, 409}
    wait_until(lambda: counters()[1] in (0, 23))  # 23: what admission took, where no call got so far
    assert len(provider.requests) <= 2
