"""A stopping egress lets calls continue for the grace period, then ends and settles them."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.egress.tests.conftest import serve_egress
from gateway.egress.tests.engine import DONE, Engine, EngineTurn, counters, ledger, until_text
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until


def test_a_call_within_the_grace_period_is_finished(
    engine: Engine, begin: Callable[..., EngineTurn], provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    with serve_egress() as stopping, Engine(stopping.url).calling(begin()) as said:
        until_text(said, "One ")
        stopping.server.should_exit = True
        wait_until(lambda: not stopping.server.servers[0].sockets)
        gate.set()
        rest = list(said)
    assert rest[-1] == DONE
    assert [exactness for *_, exactness in ledger()] == ["exact"]


def test_a_call_beyond_the_grace_period_is_ended_and_settled(
    engine: Engine, begin: Callable[..., EngineTurn], provider: ScriptedProvider, settings: Any
) -> None:
    settings.GRACE = 0.3
    provider.script = Script(steps=["One ", threading.Event()])
    with serve_egress() as stopping, Engine(stopping.url).calling(begin()) as said:
        until_text(said, "One ")
        stopping.server.should_exit = True
        with pytest.raises(httpx.RemoteProtocolError):
            list(said)
    assert provider.hangups.acquire(timeout=20), "the provider's stream was left open"
    assert [exactness for *_, exactness in ledger()] == ["estimated"]
    assert counters()[0] > 0


def test_a_response_beyond_the_grace_period_is_an_error_that_no_engine_repeats(
    engine: Engine, begin: Callable[..., EngineTurn], provider: ScriptedProvider, settings: Any
) -> None:
    settings.GRACE = 0.3
    provider.script = Script(steps=["One ", threading.Event()])
    answers: list[httpx.Response] = []
    turn = begin()
    with serve_egress() as stopping:
        calling = Engine(stopping.url)
        thread = threading.Thread(target=lambda: answers.append(calling.call(turn, stream=False)))
        thread.start()
        wait_until(lambda: len(provider.requests) == 1)
        stopping.server.should_exit = True
        thread.join()
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (409, "turn_interrupted")
