"""Conversations on every engine: branches, sharing, deletion, isolation of tenants, concurrency."""

import threading
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import async_to_sync

from accounts.tests.cast import Cast
from gateway.engines.base import Thread
from gateway.engines.registry import conversation_store
from gateway.models import Conversation
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.conformance.test_turns import finished, messages, text_in
from gateway.tests.events import STREAM, body, parse, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.test_jobs import run_worker
from gateway.tests.wait import wait_until
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, UsageRecord

pytestmark = [pytest.mark.conformance, pytest.mark.slow]


def test_a_regenerated_reply_replaces_the_old_one(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    first = send(client, "tell me").json()
    conversation = first["conversation_id"]
    provider.script = Script(steps=["Another ", "answer."])
    again = send_again(client, conversation, first["turn_id"])
    assert again["reply"] == "Another answer."
    assert messages(client, conversation) == [("user", "tell me"), ("assistant", "Another answer.")]
    assert prompt_of(provider) == [("user", "tell me")]
    send(client, "and now", conversation_id=conversation)
    assert prompt_of(provider) == [("user", "tell me"), ("assistant", "Another answer."), ("user", "and now")]


def test_an_edited_message_begins_a_new_branch(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    conversation = send(client, "one").json()["conversation_id"]
    second = send(client, "two", conversation_id=conversation).json()
    send(client, "three", conversation_id=conversation)
    send_again(client, conversation, second["turn_id"], message="zwei")
    assert prompt_of(provider) == [("user", "one"), ("assistant", "Hello there."), ("user", "zwei")]
    assert [said for role, said in messages(client, conversation) if role == "user"] == ["one", "zwei"]
    old = client.get(f"/v1/chat/turns/{second['turn_id']}").json()
    assert (old["is_current"], old["status"]) == (False, "done")


def test_a_failed_turn_does_not_break_the_thread(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    conversation = send(client, "one").json()["conversation_id"]
    provider.scripts = [Script(status=401)]
    assert send(client, "two", conversation_id=conversation).status_code == 502
    assert send(client, "three", conversation_id=conversation).status_code == 200
    messages = prompt_of(provider)
    assert (messages[:2], messages[-1]) == (
        [("user", "one"), ("assistant", "Hello there.")],
        ("user", "three"),
    )


def test_a_member_continues_a_shared_conversation_at_their_own_expense(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    conversation = send(alice, "from alice").json()["conversation_id"]
    alice.patch(f"/v1/conversations/{conversation}", json={"shared": True})
    assert send(bob, "from bob", conversation_id=conversation).status_code == 200
    assert [said for _, said in messages(bob, conversation)][::2] == ["from alice", "from bob"]
    assert prompt_of(provider)[0] == ("user", "from alice")
    payers = list(UsageRecord.objects.order_by("id").values_list("user_id", flat=True))
    assert payers == [cast.alice.principal.user_id, cast.bob.principal.user_id]


def test_concurrent_turns_of_two_tenants_are_isolated(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gates = [threading.Event(), threading.Event()]
    provider.scripts = [Script(steps=["for acme ", gates[0]]), Script(steps=["for globex ", gates[1]])]
    alice, charlie = client_of(cast.alice), client_of(cast.charlie)
    first, second = begin(alice, "I am acme"), begin(charlie, "I am globex")
    for gate in gates:
        gate.set()
    replies = [finished(alice, first["turn_id"])["reply"], finished(charlie, second["turn_id"])["reply"]]
    assert sorted(replies) == ["for acme ", "for globex "]
    assert charlie.get(f"/v1/chat/turns/{first['turn_id']}").status_code == 404
    assert charlie.get(f"/v1/conversations/{first['conversation_id']}/messages").status_code == 404
    asked = [[said for _, said in prompt_of(provider, at)] for at in (0, 1)]
    assert sorted(asked) == [["I am acme"], ["I am globex"]]


def test_twenty_concurrent_turns_are_all_complete_and_counted(
    tested: EngineUnderTest, cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    provider.script = Script(steps=["a "] * 5)
    requests = [httpx.Request("POST", "http://x/v1/chat/send", json=body(f"hi {n}")) for n in range(20)]
    answers = at_once(cast.alice, requests)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert {answer.json()["reply"] for answer in answers} == {"a " * 5}
    window = BudgetWindow.objects.get()
    assert (window.used, window.reserved) == (sum(map(sum, provider.reported)), 0)
    assert len({answer.json()["conversation_id"] for answer in answers}) == 20


def test_a_new_title_and_a_deletion_reach_the_engine(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    conversation = send(client, "hi").json()["conversation_id"]
    with tenant_scope(cast.alice.principal.tenant):
        account = Conversation.objects.get(id=conversation).engine_account_id
    thread = Thread(conversation_id=UUID(conversation), engine_account_id=account)
    client.patch(f"/v1/conversations/{conversation}", json={"title": "Renamed"})
    run_worker()
    if tested.replay is not None:
        sent = [call.body for call in tested.replay.requests if call.path == "/api/convos/update"]
        assert sent == [{"arg": {"conversationId": conversation, "title": "Renamed"}}]
    assert client.delete(f"/v1/conversations/{conversation}").status_code == 204
    run_worker()
    store = conversation_store(tested.engine)
    assert store is None or not async_to_sync(store.messages)(thread)
    assert client.get(f"/v1/conversations/{conversation}").status_code == 404
    wait_until(lambda: BudgetWindow.objects.get().reserved == 0)


def begin(client: httpx.Client, message: str, **fields: Any) -> dict[str, Any]:
    """Sends a message and leaves; returns the data of `started`."""
    with client.stream("POST", "/v1/chat/send", json=body(message, **fields), headers=STREAM) as answer:
        return next(parse(answer.iter_lines())).data


def send_again(client: httpx.Client, conversation: str, turn: str, **fields: Any) -> dict[str, Any]:
    """Regenerates a turn, with a message instead of its question if given."""
    payload = {"model": "local", "conversation_id": conversation, "replaces": turn, **fields}
    answer = client.post("/v1/chat/send", json=payload)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def prompt_of(provider: ScriptedProvider, at: int = -1) -> list[tuple[str, str]]:
    """The messages that a model call received."""
    return [(message["role"], text_in(message)) for message in provider.requests[at]["messages"]]
