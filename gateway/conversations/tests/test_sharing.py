"""A shared conversation: everyone in the workspace reads and continues it, no one else does."""

from typing import Any

import pytest

from accounts.models import WorkspaceMember
from accounts.tests.cast import Cast
from gateway.tests.events import read_events, resume, send, text_of


@pytest.fixture
def shared(client_of: Any, cast: Cast) -> dict[str, str]:
    """alice's first turn, in a conversation that she has shared with sales."""
    client = client_of(cast.alice)
    turn: dict[str, str] = send(client, "from alice").json()
    answer = client.patch(f"/v1/conversations/{turn['conversation_id']}", json={"shared": True})
    assert answer.json()["shared"] is True
    return turn


def test_a_member_lists_reads_and_follows_a_shared_conversation(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    bob = client_of(cast.bob)
    listed = bob.get("/v1/conversations").json()["data"]
    assert [(row["id"], row["user_id"]) for row in listed] == [
        (shared["conversation_id"], str(cast.alice.principal.user_id))
    ]
    said = bob.get(f"/v1/conversations/{shared['conversation_id']}/messages").json()["data"]
    assert [message["content"] for message in said] == ["from alice", "Hello there."]
    assert text_of(resume(bob, shared["turn_id"])) == "Hello there."


def test_a_member_continues_a_shared_conversation(client_of: Any, cast: Cast, shared: dict[str, str]) -> None:
    events = read_events(client_of(cast.bob), "from bob", conversation_id=shared["conversation_id"])
    assert events[-1].data == {"finish_reason": "stop"}
    address = f"/v1/conversations/{shared['conversation_id']}/messages"
    said = client_of(cast.alice).get(address).json()["data"]
    assert [message["content"] for message in said][2:] == ["from bob", "Hello there."]
    assert {message["user_id"] for message in said[2:]} == {str(cast.bob.principal.user_id)}


def test_a_viewer_can_only_read_a_shared_conversation(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.user).update(role=WorkspaceMember.Role.VIEWER)
    bob = client_of(cast.bob)
    assert bob.get(f"/v1/conversations/{shared['conversation_id']}").status_code == 200
    refused = send(bob, "from bob", conversation_id=shared["conversation_id"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_too_low")


def test_only_the_owner_changes_or_deletes_a_shared_conversation(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    bob, address = client_of(cast.bob), f"/v1/conversations/{shared['conversation_id']}"
    for answer in (
        bob.patch(address, json={"title": "Mine"}),
        bob.patch(address, json={"shared": False}),
        bob.delete(address),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert bob.get(address).json()["title"] == "from alice"


def test_a_shared_conversation_is_hidden_outside_its_workspace(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    for outsider in (cast.dana, cast.charlie):
        client = client_of(outsider)
        assert client.get("/v1/conversations").json()["data"] == []
        assert client.get(f"/v1/conversations/{shared['conversation_id']}").status_code == 404
        assert client.get(f"/v1/chat/turns/{shared['turn_id']}").status_code == 404
        assert client.post(f"/v1/chat/turns/{shared['turn_id']}/stop").status_code == 404
        assert send(client, "hi", conversation_id=shared["conversation_id"]).status_code == 404


def test_a_conversation_that_is_no_longer_shared_is_hidden_from_others(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    address = f"/v1/conversations/{shared['conversation_id']}"
    client_of(cast.alice).patch(address, json={"shared": False})
    assert client_of(cast.bob).get(address).status_code == 404


def test_only_the_author_and_the_owner_stop_a_reply(
    client_of: Any, cast: Cast, shared: dict[str, str]
) -> None:
    bob = client_of(cast.bob)
    assert bob.post(f"/v1/chat/turns/{shared['turn_id']}/stop").status_code == 403
    his = send(bob, "from bob", conversation_id=shared["conversation_id"]).json()
    assert client_of(cast.alice).post(f"/v1/chat/turns/{his['turn_id']}/stop").status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"shared": "perhaps"}, 422), ({"title": ""}, 422), ({"title": "x" * 201}, 422)],
)
def test_an_invalid_change_is_refused(
    client_of: Any, cast: Cast, shared: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answer = client_of(cast.alice).patch(f"/v1/conversations/{shared['conversation_id']}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "invalid_input")
