"""Losing access takes effect immediately: streams, sockets, running turns, tokens and keys end."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from accounts.models import Membership
from accounts.tests.cast import Cast, Person
from gateway.api.tests.test_socket import Chat, chat_of
from gateway.models import Turn
from gateway.tests.events import STREAM, StreamEvent, body, parse, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from kit.tenancy import in_public, tenant_scope


def as_admin(client: httpx.Client, method: str, path: str, json: Any = None) -> None:
    answer = client.request(method, path, json=json)
    assert answer.status_code < 300, answer.text


def remove(client: httpx.Client, bob: Person) -> None:
    as_admin(client, "DELETE", f"/v1/tenant/members/{bob.principal.user_id}")


def take_out(client: httpx.Client, bob: Person) -> None:
    as_admin(client, "DELETE", f"/v1/workspaces/sales/members/{bob.principal.user_id}")


def archive(client: httpx.Client, bob: Person) -> None:
    as_admin(client, "PATCH", "/v1/workspaces/ops", {"default": True})
    as_admin(client, "PATCH", "/v1/workspaces/sales", {"archived": True})


def demote(client: httpx.Client, bob: Person) -> None:
    path = f"/v1/workspaces/sales/members/{bob.principal.user_id}"
    as_admin(client, "PUT", path, {"role": "viewer"})


TAKEN = [remove, take_out, archive]
Take = Callable[[httpx.Client, Person], None]


def running_reply(client: httpx.Client, provider: ScriptedProvider) -> tuple[Any, Any]:
    provider.script = Script(steps=["One ", threading.Event(), "two"])
    stream = client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM)
    received = parse(stream.__enter__().iter_lines())
    assert [next(received).type, next(received).type] == ["started", "delta"]
    return stream, received


def the_turn_of(bob: Person) -> Turn:
    with tenant_scope(bob.principal.tenant):
        return Turn.objects.filter(user_id=bob.principal.user_id).latest("created_at")


@pytest.mark.parametrize("take", TAKEN)
def test_a_stream_that_lost_its_right_breaks_off_and_its_turn_ends(
    client_of: Any, cast: Cast, provider: ScriptedProvider, take: Take
) -> None:
    stream, received = running_reply(client_of(cast.bob), provider)
    try:
        take(client_of(cast.alice), cast.bob)
        rest: list[StreamEvent] = list(received)
    finally:
        stream.__exit__(None, None, None)
    assert (rest[-1].type, rest[-1].data["error"]["code"]) == ("error", "access_ended")
    wait_until(lambda: the_turn_of(cast.bob).status == Turn.Status.DONE)
    turn = the_turn_of(cast.bob)
    assert (turn.finish_reason, turn.reply) == ("cancelled", "One ")
    assert turn.output_tokens > 0


def test_a_member_who_becomes_a_viewer_is_sent_the_cancellation_of_the_reply(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.bob)
    stream, received = running_reply(client, provider)
    try:
        demote(client_of(cast.alice), cast.bob)
        rest = list(received)
    finally:
        stream.__exit__(None, None, None)
    assert rest[-1].data["finish_reason"] == "cancelled"
    refused = send(client, "again")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_too_low")


@pytest.mark.parametrize("take", TAKEN)
async def test_an_idle_socket_that_lost_its_right_closes(
    server: Served, client_of: Any, cast: Cast, take: Take
) -> None:
    async with chat_of(server, cast.bob) as socket:
        chat = Chat(socket)
        await chat.say({"type": "nonsense"})  # answered: the socket is open
        assert (await chat.hear())["type"] == "error"
        await in_public(take, client_of(cast.alice), cast.bob)
        received = await chat.hear_until("error")
        assert received[-1]["error"]["code"] == "access_ended"
        with pytest.raises(ConnectionClosed) as closed:
            await chat.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_coming_back_revives_no_token(client_of: Any, cast: Cast) -> None:
    bob = client_of(cast.bob)
    remove(client_of(cast.alice), cast.bob)
    assert bob.get("/v1/tenant").status_code == 401
    tenant = cast.alice.user.memberships.get().tenant
    Membership.objects.create(tenant=tenant, user=cast.bob.user)
    tenant.workspaces.get(slug="sales").members.create(user=cast.bob.user)
    assert bob.get("/v1/tenant").status_code == 401


def test_other_peoples_streams_stay_open(client_of: Any, cast: Cast, provider: ScriptedProvider) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    alice = client_of(cast.alice)
    with alice.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        next(received), next(received)
        remove(client_of(cast.alice), cast.bob)
        gate.set()
        assert [event.type for event in received][-1] == "done"
