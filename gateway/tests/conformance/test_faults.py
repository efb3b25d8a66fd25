"""Failures on every engine: the process of a turn, the engine's socket, or the engine dies."""

import signal
import threading
from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from config import asgi
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.conformance.test_conversations import begin
from gateway.tests.conformance.test_turns import counted, finished, messages, until_text
from gateway.tests.events import STREAM, body, parse, read_events, resume, send, text_of
from gateway.tests.real_mcp import RealMCP
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import MODEL, install_calculator
from gateway.tests.wait import wait_until
from gateway.turns.tests.test_crash import web_process, written_text
from quotas.models import BudgetWindow, UsageRecord

pytestmark = [pytest.mark.conformance, pytest.mark.slow]


def test_a_turn_whose_process_is_killed_is_ended_and_settled_or_continues(
    tested: EngineUnderTest, cast: Cast, provider: ScriptedProvider, settings: Any, client_of: Any
) -> None:
    """The test's own server is the surviving process; it checks for lost turns every few seconds."""
    gate = threading.Event()
    provider.script = Script(steps=["One ", "two ", gate, "three"])
    with (
        web_process(settings.LOCAL_MODEL_URL, **tested.environment) as (process, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer,
    ):
        received = parse(answer.iter_lines())
        started, *_ = next(received), next(received), next(received)
        wait_until(lambda: written_text(cast, started.data["turn_id"]) == "One two ")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with (
        web_process(settings.LOCAL_MODEL_URL, **tested.environment) as (_, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client,
    ):
        if tested.outlives_us:
            gate.set()
        turn = finished(client, started.data["turn_id"])
        rest = resume(client, started.data["turn_id"], 5)
    expected = ("stop", "One two three") if tested.outlives_us else ("interrupted", "One two ")
    assert (turn["finish_reason"], turn["reply"]) == expected
    assert text_of(rest) == expected[1][4:]
    window = BudgetWindow.objects.get()
    assert (window.used, window.reserved) == (sum(map(sum, counted())), 0)
    assert UsageRecord.objects.get().exactness == ("exact" if tested.outlives_us else "estimated")


def test_a_stopping_server_hands_a_running_turn_over(
    replayed: ReplayedLibreChat,
    cast: Cast,
    provider: ScriptedProvider,
    client_of: Any,
    settings: Any,
) -> None:
    settings.GRACE = 0.1
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    with Served(asgi.application, lifespan="on") as second:
        headers = {**cast.alice.headers, **STREAM}
        with httpx.stream("POST", f"{second.url}/v1/chat/send", json=body("x"), headers=headers) as answer:
            seen = until_text(parse(answer.iter_lines()), "One ")
    gate.set()
    turn = finished(client_of(cast.alice), seen[0].data["turn_id"])
    assert (turn["finish_reason"], turn["reply"]) == ("stop", "One two")
    assert len(provider.requests) == 1


def test_followers_of_a_turn_that_is_handed_over_resume_and_lose_nothing(
    replayed: ReplayedLibreChat, cast: Cast, provider: ScriptedProvider, client_of: Any, settings: Any
) -> None:
    settings.GRACE = 0.1
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    headers = {**cast.alice.headers, **STREAM}
    with (
        Served(asgi.application, lifespan="on") as second,
        httpx.stream("POST", f"{second.url}/v1/chat/send", json=body("x"), headers=headers) as answer,
    ):
        events = parse(answer.iter_lines())
        seen = until_text(events, "One ")
        second.server.should_exit = True
        (moved,) = list(events)
    assert (moved.type, moved.data["turn_id"]) == ("moved", seen[0].data["turn_id"])
    gate.set()
    rest = resume(client_of(cast.alice), seen[0].data["turn_id"], seen[-1].id)
    assert text_of(seen + rest) == "One two"


@pytest.mark.parametrize("frames", [1, 2, 4, 5])
def test_a_broken_socket_to_the_engine_loses_and_repeats_nothing(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, frames: int
) -> None:
    replayed.break_stream_after = frames
    provider.script = Script(steps=["One ", "two ", "three ", "four"])
    events = read_events(client_of(cast.alice), "count")
    assert text_of(events) == "One two three four"
    assert events[-1].data == {"finish_reason": "stop"}
    assert len(provider.requests) == 1


def test_an_expired_token_is_renewed_and_so_is_the_cookie(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    conversation = send(client, "one").json()["conversation_id"]
    replayed.expire_tokens()
    assert send(client, "two", conversation_id=conversation).status_code == 200
    replayed.expire_tokens()
    replayed.expire_refresh()
    assert send(client, "three", conversation_id=conversation).status_code == 200
    assert len(messages(client, conversation)) == 6


def test_an_unreachable_engine_is_reported_and_costs_nothing(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    conversation = send(client, "one").json()["conversation_id"]
    replayed.down = True
    answer = send(client, "two", conversation_id=conversation)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
    assert messages(client, conversation)[:2] == [("user", "one"), ("assistant", "Hello there.")]
    replayed.down = False
    assert send(client, "three", conversation_id=conversation).status_code == 200
    assert BudgetWindow.objects.get().reserved == 0


def test_an_engine_that_loses_the_generation_ends_the_turn_with_an_error(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", threading.Event()])
    client = client_of(cast.alice)
    turn_id = begin(client, "count")["turn_id"]
    wait_until(lambda: client.get(f"/v1/chat/turns/{turn_id}").json()["reply"] == "One ")
    replayed.lose_generation()
    turn = finished(client, turn_id)
    assert (turn["finish_reason"], turn["reply"]) == ("error", "One ")
    assert turn["error"]["code"] == "engine_failed"
    wait_until(lambda: BudgetWindow.objects.get().reserved == 0)


def test_an_engines_own_summary_is_charged_and_not_shown(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    replayed.summarises = True
    provider.scripts = [Script(steps=["A ", "summary."])]
    events = read_events(client_of(cast.alice), "hi")
    assert text_of(events) == "Hello there."
    assert counted() == provider.reported
    assert len(provider.reported) == 2


def test_an_approval_can_be_answered_after_its_process_has_died(  # noqa: PLR0917 - fixtures
    replayed: ReplayedLibreChat,
    calculator: RealMCP,
    cast: Cast,
    provider: ScriptedProvider,
    settings: Any,
    client_of: Any,
) -> None:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    provider.scripts = [
        Script(steps=[], calls=[("wipe", {"what": "notes"})], finish_reason="tool_calls"),
        Script(steps=["It is ", "gone."]),
    ]
    environment = {
        "ENGINE": "librechat",
        "LIBRECHAT_URL": settings.LIBRECHAT_URL,
        "EGRESS_URL": settings.EGRESS_URL,
        "EGRESS_SECRETS": settings.EGRESS_SECRETS[0],
        "OUTBOUND_ALLOWED": ",".join(settings.OUTBOUND_ALLOWED),
    }
    payload = body("wipe", model=MODEL, mcps=["calculator"])
    with (
        web_process(settings.LOCAL_MODEL_URL, **environment) as (process, url),
        httpx.Client(base_url=url, headers=cast.bob.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/send", json=payload, headers=STREAM) as answer,
    ):
        received = parse(answer.iter_lines())
        started = next(received)
        asked = next(event for event in received if event.type == "approval")
        process.send_signal(signal.SIGKILL)
        process.wait()
    turn_id = started.data["turn_id"]
    path = f"/v1/chat/turns/{turn_id}/approvals/{asked.data['approval_id']}"
    with (
        web_process(settings.LOCAL_MODEL_URL, **environment) as (_, url),
        httpx.Client(base_url=url, headers=cast.bob.headers, timeout=30) as client,
    ):
        assert client.post(path, json={"decision": "allow"}).status_code == 200
        turn = finished(client, turn_id)
        kinds = [event.type for event in resume(client, turn_id)]
    assert (turn["finish_reason"], turn["reply"]) == ("stop", "It is gone.")
    assert [kinds.count(kind) for kind in ("tool_call", "tool_result")] == [1, 1]
    assert calculator.calls == [("wipe", "notes")]
