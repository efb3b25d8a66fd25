"""Two web processes: each sends the other's turns, live by Redis, else from the stored reply."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.tests.cast import Cast
from config.asgi import application
from config.system_checks import check_processes, refuse_broken_setup
from gateway.tests.events import STREAM, body, parse, resume, send, text_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served


@pytest.fixture
def other(server: Served) -> Iterator[httpx.Client]:
    """A second process as far as turns go: another event loop with its own runner."""
    with (
        Served(application, lifespan="on") as second,
        httpx.Client(base_url=second.url, timeout=30) as client,
    ):
        yield client


@needs("redis-server")
def test_with_redis_the_deltas_arrive_while_they_are_written(
    client_of: Any, cast: Cast, provider: ScriptedProvider, redis_url: str, other: httpx.Client
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", "two ", gate, "three"])
    other.headers.update(cast.alice.headers)
    with client_of(cast.alice).stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started, first = next(received), next(received)
        events_url = f"/v1/chat/turns/{started.data['turn_id']}/events"
        with other.stream("GET", events_url, headers={"Last-Event-ID": str(first.id - 1)}) as followed:
            elsewhere = parse(followed.iter_lines())
            seen = next(elsewhere).data["text"]
            while len(seen) < len("One two "[3:]):
                seen += next(elsewhere).data["text"]
            assert seen == "One two "[3:]
            gate.set()
            rest = list(elsewhere)
        here = list(received)
    assert text_of(rest) == "three"
    assert [event.id for event in rest if event.type in {"usage", "done"}] == [
        event.id for event in here if event.type in {"usage", "done"}
    ]


def test_without_redis_another_process_sends_the_stored_reply_and_then_the_end(
    client_of: Any, cast: Cast, provider: ScriptedProvider, other: httpx.Client
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", "two ", gate, "three"])
    other.headers.update(cast.alice.headers)
    with client_of(cast.alice).stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
    events_url = f"/v1/chat/turns/{started.data['turn_id']}/events"
    with other.stream("GET", events_url) as followed:
        elsewhere = parse(followed.iter_lines())
        next(elsewhere)
        assert next(elsewhere).data["text"] == "One two "
        gate.set()
        rest = list(elsewhere)
    assert text_of(rest) == "three"
    assert rest[-1].data == {"finish_reason": "stop"}


def test_a_turn_can_be_stopped_from_another_process(
    client_of: Any, cast: Cast, provider: ScriptedProvider, other: httpx.Client
) -> None:
    provider.script = Script(steps=["One ", threading.Event()])
    other.headers.update(cast.alice.headers)
    with client_of(cast.alice).stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started = next(received)
        assert other.post(f"/v1/chat/turns/{started.data['turn_id']}/stop").status_code == 202
        assert list(received)[-1].data == {"finish_reason": "cancelled"}


def test_one_conversation_runs_one_turn_across_processes(
    client_of: Any, cast: Cast, provider: ScriptedProvider, other: httpx.Client
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate])
    other.headers.update(cast.alice.headers)
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
        second = send(other, "more", conversation_id=started.data["conversation_id"])
    assert second.json()["error"]["code"] == "turn_in_progress"
    gate.set()
    resume(client, started.data["turn_id"])


def test_a_stop_of_the_server_lets_a_running_turn_finish(
    cast: Cast, provider: ScriptedProvider, server: Served
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    with Served(application, lifespan="on") as second:
        headers = {**cast.alice.headers, **STREAM}
        with httpx.stream("POST", f"{second.url}/v1/chat/send", json=body("x"), headers=headers) as answer:
            started = next(parse(answer.iter_lines()))
        threading.Timer(0.5, gate.set).start()
    with httpx.Client(base_url=server.url, headers=cast.alice.headers) as client:
        turn = client.get(f"/v1/chat/turns/{started.data['turn_id']}").json()
    assert (turn["status"], turn["finish_reason"], turn["reply"]) == ("done", "stop", "One two")


def test_more_than_one_process_without_redis_is_refused_at_the_start(settings: Any) -> None:
    settings.WEB_CONCURRENCY, settings.REDIS_URL = 2, ""
    assert [error.id for error in check_processes()] == ["switchyard.E001"]
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        refuse_broken_setup()
    settings.REDIS_URL = "redis://localhost"
    assert check_processes() == []
