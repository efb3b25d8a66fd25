"""Conversations by REST: list in pages, open, rename, delete; invalid queries do not fail."""

import base64
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests.events import send


def encoded(cursor: str) -> str:
    return base64.b64encode(cursor.encode()).decode()


def test_pages_follow_each_other_without_gap_or_repeat(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    for number in range(5):
        send(client, f"Topic {number}")
    titles, cursor = [], None
    while True:
        page = client.get("/v1/conversations", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        received = page.json()
        assert set(received) == {"data", "has_more", "next"}
        titles += [row["title"] for row in received["data"]]
        cursor = received["next"]
        assert received["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert titles == [f"Topic {number}" for number in (4, 3, 2, 1, 0)]


def test_messages_are_paged_oldest_first(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    conversation_id = send(client, "one").json()["conversation_id"]
    send(client, "two", conversation_id=conversation_id)
    address = f"/v1/conversations/{conversation_id}/messages"
    first = client.get(address, params={"limit": 3}).json()
    rest = client.get(address, params={"limit": 3, "cursor": first["next"]}).json()
    contents = [message["content"] for message in first["data"] + rest["data"]]
    assert contents == ["one", "Hello there.", "two", "Hello there."]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cursor=nonsense", 422),
        ("cursor=%00", 422),
        (f"cursor={encoded('p=garbage')}", 422),
        (f"cursor={encoded('p=2020')}", 422),
        (f"cursor={encoded('p=%00')}", 422),
        (f"cursor={encoded('p=0001-01-01T00:00:00+23:59')}", 422),
        (f"cursor={encoded('o=-5&r=x')}", 422),
        ("workspace_id=%00", 422),
        ("workspace_id=%F0%9F%98%80", 404),
        ("workspace_id=" + "a" * 3000, 404),
        ("limit=-1", 422),
        ("limit=x", 422),
        ("limit=999999999999999999999999", 422),
    ],
)
def test_invalid_query_parameters_are_refused_by_name(
    client_of: Any, cast: Cast, query: str, status: int
) -> None:
    answer = client_of(cast.alice).get(f"/v1/conversations?{query}")
    assert answer.status_code == status
    if status == 422:
        assert list(answer.json()["error"]["details"]) == [query.partition("=")[0]]


def test_a_conversation_is_renamed(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    address = f"/v1/conversations/{send(client, 'hi').json()['conversation_id']}"
    assert client.patch(address, json={"title": "Plans"}).json()["title"] == "Plans"
    assert client.get(address).json()["title"] == "Plans"


@pytest.mark.parametrize("title", ["", "x" * 201, None, ["a"], "nul \0"])
def test_an_invalid_title_is_rejected_and_changes_nothing(client_of: Any, cast: Cast, title: Any) -> None:
    client = client_of(cast.alice)
    address = f"/v1/conversations/{send(client, 'hi').json()['conversation_id']}"
    answer = client.patch(address, json={"title": title})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["title"])
    assert client.get(address).json()["title"] == "hi"


@pytest.mark.parametrize(("body", "named"), [({}, {"title"}), ({"titel": "x"}, {"title", "titel"})])
def test_a_change_of_nothing_is_refused(
    client_of: Any, cast: Cast, body: dict[str, str], named: set[str]
) -> None:
    client = client_of(cast.alice)
    answer = client.patch(f"/v1/conversations/{send(client, 'hi').json()['conversation_id']}", json=body)
    assert (answer.status_code, set(answer.json()["error"]["details"])) == (422, named)
    assert answer.json()["error"]["details"]["title"] == ["Nothing to change: send title or shared."]


def test_a_deleted_conversations_cost_stays_in_the_ledger(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    received = send(client, "hi").json()
    address = f"/v1/conversations/{received['conversation_id']}"
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == client.delete(address).status_code == 404
    assert client.get(f"/v1/chat/turns/{received['turn_id']}").status_code == 404
    assert (
        client.get("/v1/workspaces/sales/quota").json()["data"][0]["used"]
        == received["usage"]["total_tokens"]
    )


def test_a_turn_has_its_reply_and_the_decision(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    turn = client.get(f"/v1/chat/turns/{send(client, 'hi').json()['turn_id']}").json()
    assert (turn["status"], turn["finish_reason"], turn["reply"]) == ("done", "stop", "Hello there.")
    assert [check["check"] for check in turn["decision"]["checks"]] == ["role", "model"]
