"""A turn runs independently of sockets: clients leave, resume, stop it and send it twice."""

import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.models import Turn
from gateway.tests.events import STREAM, body, parse, read_events, resume, send, text_of
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from gateway.turns.stop import request_stop
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, Hold, Reservation


def test_a_client_that_leaves_loses_nothing(client_of: Any, cast: Cast, provider: ScriptedProvider) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two ", "three"])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started, delta = next(received), next(received)
    gate.set()
    rest = resume(client, started.data["turn_id"], delta.id)
    assert delta.data["text"] + text_of(rest) == "One two three"
    assert [event.type for event in rest][-2:] == ["usage", "done"]


@pytest.mark.parametrize("last_id", [0, 1, 2, 5, 12, 13, 14, 15])
def test_a_finished_turn_resumes_after_any_id(client_of: Any, cast: Cast, last_id: int) -> None:
    client = client_of(cast.alice)
    first = read_events(client, "hi")
    again = resume(client, first[0].data["turn_id"], last_id)
    assert text_of(again) == "Hello there."[max(last_id - 1, 0) :]
    assert [event.id for event in again if event.type in {"usage", "done"}] == [
        event.id for event in first if event.type in {"usage", "done"} and event.id > last_id
    ]


def test_a_wrong_last_event_id_is_named(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    turn_id = send(client, "hi").json()["turn_id"]
    answer = client.get(f"/v1/chat/turns/{turn_id}/events", headers={"Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")


def test_stop_cancels_the_call_and_stores_the_partial_reply(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["Once ", "upon ", gate, "never"])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("a tale"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started = next(received)
        while next(received).data.get("text") != "upon ":
            pass
        stopped = client_of(cast.alice).post(f"/v1/chat/turns/{started.data['turn_id']}/stop")
        rest = list(received)
    assert stopped.status_code == 202
    assert rest[-1].data == {"finish_reason": "cancelled"}
    assert rest[-2].data["exactness"] == "estimated"
    assert rest[-2].data["output_tokens"] == 2
    assert provider.hangups.acquire(timeout=20), "the provider's stream was left open"
    messages = client.get(f"/v1/conversations/{started.data['conversation_id']}/messages").json()["data"]
    assert (messages[1]["content"], messages[1]["finish_reason"]) == ("Once upon ", "cancelled")
    assert BudgetWindow.objects.get(subject_id=cast.alice.principal.workspace.id).reserved == 0


def test_a_stop_requested_in_another_process_arrives_by_notify(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Once ", threading.Event()])
    with client_of(cast.alice).stream("POST", "/v1/chat/send", json=body("a tale"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started = next(received)
        with tenant_scope(cast.alice.principal.tenant):
            request_stop(principal=cast.alice.principal, turn_id=started.data["turn_id"])
        assert list(received)[-1].data == {"finish_reason": "cancelled"}


def test_a_turn_that_another_process_has_taken_over_is_cancelled_and_settled(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Once ", threading.Event()])
    with client_of(cast.alice).stream("POST", "/v1/chat/send", json=body("a tale"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        next(received), next(received)
        Reservation.objects.update(holder=uuid4())
        rest = list(received)
    assert [event.type for event in rest] == ["error", "usage", "done"]
    assert rest[0].data["error"]["code"] == "turn_interrupted"
    assert rest[-1].data == {"finish_reason": "interrupted"}
    assert provider.hangups.acquire(timeout=20), "the provider's stream was left open"
    wait_until(lambda: not Hold.objects.filter(state__in=["held", "sent"]).exists())


def test_a_second_message_while_a_reply_is_written_is_refused_with_the_turns_id(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One", gate])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
        second = send(client_of(cast.alice), "more", conversation_id=started.data["conversation_id"])
    assert second.status_code == 409
    error = second.json()["error"]
    assert (error["code"], error["details"]) == (
        "turn_in_progress",
        {"turn_id": started.data["turn_id"]},
    )
    gate.set()
    resume(client, started.data["turn_id"])


def test_of_concurrent_messages_in_a_conversation_one_runs(
    client_of: Any, cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    conversation_id = send(client_of(cast.alice), "hi").json()["conversation_id"]
    gate = threading.Event()
    provider.script = Script(steps=["slow", gate])
    threading.Timer(1.0, gate.set).start()
    requests = [
        httpx.Request("POST", "/v1/chat/send", json=body("x", conversation_id=conversation_id))
        for _ in range(8)
    ]
    statuses = [answer.status_code for answer in at_once(cast.alice, requests)]
    assert sorted(statuses) == [200] + [409] * 7


def test_the_same_key_and_body_replays_the_same_turn(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client, key = client_of(cast.alice), str(uuid4())
    first, again = send(client, "hi", key=key), send(client, "hi", key=key)
    assert first.json()["turn_id"] == again.json()["turn_id"]
    assert first.json()["reply"] == again.json()["reply"]
    assert len(provider.requests) == 1


def test_the_same_key_with_another_body_is_a_conflict(client_of: Any, cast: Cast) -> None:
    client, key = client_of(cast.alice), str(uuid4())
    send(client, "hi", key=key)
    answer = send(client, "something else", key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_concurrent_requests_with_one_key_create_one_turn(
    client_of: Any, cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    requests = [
        httpx.Request("POST", "/v1/chat/send", json=body("hi"), headers={"Idempotency-Key": "same"})
        for _ in range(8)
    ]
    answers = at_once(cast.alice, requests)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["turn_id"] for answer in answers}) == 1
    assert len(provider.requests) == 1


def test_deleting_a_conversation_stops_its_turn_and_settles_it(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Once ", threading.Event()])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("a tale"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        started = next(received)
        next(received)
        deleted = client_of(cast.alice).delete(f"/v1/conversations/{started.data['conversation_id']}")
        assert list(received)[-1].type == "done"
    assert deleted.status_code == 204
    wait_until(lambda: not Hold.objects.filter(state__in=["held", "sent"]).exists())
    with tenant_scope(cast.alice.principal.tenant):
        assert not Turn.objects.exists()
