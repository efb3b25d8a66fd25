"""Answering a turn again: which turns can be replaced, and what happens to the old branch."""

import threading
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests.events import STREAM, body, parse, resume, send
from gateway.tests.scripted_provider import Script, ScriptedProvider


def again(client: Any, turn: dict[str, Any], **fields: Any) -> Any:
    payload = {"model": "local", "conversation_id": turn["conversation_id"], "replaces": turn["turn_id"]}
    return client.post("/v1/chat/send", json={**payload, **fields})


def test_a_reply_is_regenerated_with_other_settings_and_the_old_one_stays_stored(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    first = send(client, "tell me").json()
    second = again(client, first, max_tokens=7).json()
    assert provider.requests[-1]["max_tokens"] == 7
    old, new = (client.get(f"/v1/chat/turns/{turn['turn_id']}").json() for turn in (first, second))
    assert (old["is_current"], new["is_current"]) == (False, True)
    assert old["previous_id"] == new["previous_id"] is None


def test_a_replaced_turn_cannot_be_replaced_again(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    first = send(client, "tell me").json()
    again(client, first)
    assert again(client, first).status_code == 404


def test_the_turns_after_a_replaced_one_are_not_current_either(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    first = send(client, "one").json()
    second = send(client, "two", conversation_id=first["conversation_id"]).json()
    third = send(client, "three", conversation_id=first["conversation_id"]).json()
    again(client, second, message="zwei")
    address = f"/v1/conversations/{first['conversation_id']}/messages"
    asked = [row["content"] for row in client.get(address).json()["data"] if row["role"] == "user"]
    assert asked == ["one", "zwei"]
    assert client.get(f"/v1/chat/turns/{third['turn_id']}").json()["is_current"] is False


def test_a_running_turn_cannot_be_replaced(client_of: Any, cast: Cast, provider: ScriptedProvider) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines())).data
    refused = again(client, started)
    assert refused.json()["error"]["code"] == "turn_in_progress"
    gate.set()
    resume(client, started["turn_id"])


def test_a_turn_of_another_conversation_cannot_be_replaced(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    first, other = send(client, "one").json(), send(client, "two").json()
    payload = {**first, "turn_id": other["turn_id"]}
    assert again(client, payload).status_code == 404
    assert again(client_of(cast.charlie), first).status_code == 404
    assert again(client_of(cast.dana), first).status_code == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"replaces": "nonsense"}, "replaces"),
        ({"conversation_id": None}, "conversation_id"),
        ({"message": "  "}, "message"),
    ],
)
def test_an_invalid_combination_of_fields_is_refused(
    client_of: Any, cast: Cast, fields: dict[str, Any], wrong: str
) -> None:
    client = client_of(cast.alice)
    answer = again(client, send(client, "one").json(), **fields)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])


def test_a_repeated_idempotency_key_replaces_a_turn_once(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    first = send(client, "one").json()
    payload = {"model": "local", "conversation_id": first["conversation_id"], "replaces": first["turn_id"]}
    turns = [
        client.post("/v1/chat/send", json=payload, headers={"Idempotency-Key": "once"}).json()["turn_id"]
        for _ in range(2)
    ]
    assert turns[0] == turns[1] != first["turn_id"]
