"""Chat over a WebSocket: the same turns and events, several at a time, never in another tenant."""

import asyncio
import json
import threading
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from accounts.audit import refusals
from accounts.keys.inputs import KeyInput
from accounts.keys.services import create_key
from accounts.models import AuditEntry, Membership
from accounts.tests.cast import Cast, Person
from gateway.api.frame_limits import MOST_REFUSED, TOO_MANY
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from kit import rate_limits
from kit.tenancy import in_public
from kit.tests.clock import StoppedClock


class Chat:
    """A client's side of a socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            received: dict[str, Any] = json.loads(await self.socket.recv())
        return received

    async def hear_until(self, kind: str) -> list[dict[str, Any]]:
        frames = [await self.hear()]
        while frames[-1]["type"] != kind:
            frames.append(await self.hear())
        return frames


def chat_of(server: Served, person: Person | None, path: str = "/ws/chat") -> Any:
    protocols = ["bearer", person.token] if person else None
    return connect(f"ws://127.0.0.1:{server.port}{path}", subprotocols=protocols)  # type: ignore[arg-type]


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "send", "message": text, "model": "local", "mcps": [], **fields}


async def test_a_message_is_answered_by_the_events_of_its_turn(server: Served, cast: Cast) -> None:
    async with chat_of(server, cast.alice) as socket:
        assert socket.subprotocol == "bearer"
        chat = Chat(socket)
        await chat.say(message("hi", ref="one"))
        frames = await chat.hear_until("done")
    assert [f["type"] for f in frames] == ["started", "delta", "delta", "delta", "usage", "done"]
    assert frames[0]["ref"] == "one"
    assert len({frame["turn_id"] for frame in frames}) == 1
    assert "".join(f["text"] for f in frames if f["type"] == "delta") == "Hello there."


async def test_a_turn_resumes_on_another_socket_and_can_be_stopped_there(
    server: Served, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", "two ", threading.Event()])
    async with chat_of(server, cast.alice) as socket:
        chat = Chat(socket)
        await chat.say(message("count"))
        started, first = await chat.hear(), await chat.hear()
    async with chat_of(server, cast.alice) as socket:
        chat = Chat(socket)
        await chat.say({"type": "resume", "turn_id": started["turn_id"], "last_event_id": first["id"]})
        second = await chat.hear()
        await chat.say({"type": "stop", "turn_id": started["turn_id"]})
        rest = await chat.hear_until("done")
    assert second["text"] == "two "
    assert rest[-1]["finish_reason"] == "cancelled"


async def test_two_sockets_of_two_tenants_interleave_and_neither_reads_the_others_rows(
    server: Served, cast: Cast
) -> None:
    """Guards against setting a tenant in one coroutine and querying in another."""
    async with chat_of(server, cast.alice) as one, chat_of(server, cast.charlie) as two:
        alice, charlie = Chat(one), Chat(two)
        conversations: dict[str, str] = {}
        for round_ in range(5):
            for name, chat in (("alice", alice), ("charlie", charlie)):
                fields = {"conversation_id": conversations[name]} if name in conversations else {}
                await chat.say(message(f"{name} {round_}", **fields))
            for name, chat in (("alice", alice), ("charlie", charlie)):
                frames = await chat.hear_until("done")
                conversations.setdefault(name, frames[0]["conversation_id"])
                assert frames[0]["conversation_id"] == conversations[name]
        await alice.say(message("theirs?", conversation_id=conversations["charlie"]))
        refusal = await alice.hear()
    assert (refusal["type"], refusal["error"]["code"]) == ("error", "not_found")


async def test_a_foreign_turn_is_not_found(server: Served, cast: Cast) -> None:
    async with chat_of(server, cast.alice) as one, chat_of(server, cast.charlie) as two:
        alice, charlie = Chat(one), Chat(two)
        await alice.say(message("hi"))
        turn_id = (await alice.hear_until("done"))[0]["turn_id"]
        for kind in ("resume", "stop"):
            await charlie.say({"type": kind, "turn_id": turn_id})
            assert (await charlie.hear())["error"]["code"] == "not_found"


BAD_FRAMES: list[str | bytes] = [
    "{",
    "[]",
    "{}",
    '{"type": 1}',
    '{"type": "dance"}',
    '{"type": "send"}',
    '{"type": "resume", "turn_id": "x"}',
    '{"type": "stop"}',
    b"\x00\x01",
    '{"type": "nope", "ref": "\\ud800"}',
]


@pytest.mark.parametrize("frame", BAD_FRAMES)
async def test_a_bad_frame_is_an_error_and_the_socket_stays_open(
    server: Served, cast: Cast, frame: Any
) -> None:
    async with chat_of(server, cast.alice) as socket:
        chat = Chat(socket)
        await chat.say(frame)
        received = await chat.hear()
        assert received["type"] == "error"
        assert received["error"]["code"] in {"invalid_json", "invalid_input"}
        await chat.say(message("hi"))
        assert (await chat.hear_until("done"))[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", ["send", "resume", "stop"])
async def test_an_unknown_field_of_a_frame_is_refused_by_name(server: Served, cast: Cast, kind: str) -> None:
    frame = message("hi") if kind == "send" else {"turn_id": str(uuid4())}
    async with chat_of(server, cast.alice) as socket:
        chat = Chat(socket)
        await chat.say({**frame, "type": kind, "ref": "one", "workspace_id": "ops"})
        error = (await chat.hear())["error"]
    assert (error["code"], list(error["details"])) == ("invalid_input", ["workspace_id"])


async def test_without_a_token_the_socket_is_closed_with_the_reason(server: Served, cast: Cast) -> None:
    async with chat_of(server, None) as socket:
        assert (await Chat(socket).hear())["error"]["code"] == "not_authenticated"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_token_in_the_authorization_header_is_enough(server: Served, cast: Cast) -> None:
    address, origin = f"ws://127.0.0.1:{server.port}/ws/chat", "https://elsewhere.example"
    bearer = {"Authorization": f"Bearer {cast.alice.token}"}
    async with connect(address, additional_headers=bearer, origin=origin) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol is None
        await Chat(socket).say(message("hi"))
        assert (await Chat(socket).hear_until("done"))[0]["type"] == "started"
    for wrong in ("Bearer ", "Basic YTpi", "Bearer nonsense"):
        async with connect(address, additional_headers={"Authorization": wrong}) as socket:
            assert (await Chat(socket).hear())["error"]["code"] == "token_invalid"
            with pytest.raises(ConnectionClosed):
                await Chat(socket).hear()
        assert socket.close_code == 4401
    proxied = {"Authorization": "Basic YTpi"}  # of a proxy; the subprotocol's token is used
    offered: Any = ["bearer", cast.alice.token]
    async with connect(address, additional_headers=proxied, subprotocols=offered) as socket:
        await Chat(socket).say(message("hi"))
        assert (await Chat(socket).hear())["type"] == "started"
        await Chat(socket).hear_until("done")


async def test_a_key_of_all_workspaces_chooses_one_by_header(server: Served, cast: Cast) -> None:
    key = await in_public(tenant_key, cast)
    address = f"ws://127.0.0.1:{server.port}/ws/chat"
    for workspace, kind in (("ops", "started"), ("none", "error")):
        headers = {"Authorization": f"Bearer {key}", "X-Workspace": workspace}
        async with connect(address, additional_headers=headers) as socket:
            await Chat(socket).say(message("hi"))
            assert (await Chat(socket).hear())["type"] == kind


def tenant_key(cast: Cast) -> str:
    wanted = KeyInput(name="all", scopes=["chat", "read"])
    return create_key(principal=cast.alice.principal, key=wanted, for_tenant=True).text


async def test_a_right_that_is_lost_counts_for_the_next_frame(server: Served, cast: Cast) -> None:
    async with chat_of(server, cast.bob) as socket:
        chat = Chat(socket)
        await chat.say(message("hi"))
        await chat.hear_until("done")
        await in_public(_take_membership, cast)
        await chat.say(message("still there?"))
        assert (await chat.hear())["error"]["code"] == "token_invalid"
        with pytest.raises(ConnectionClosed):
            await socket.recv()


def _take_membership(cast: Cast) -> None:
    """Without the notice, which would close the socket by itself."""
    Membership.objects.filter(user_id=cast.bob.principal.user_id)._raw_delete("default")


async def test_an_unknown_socket_address_is_refused(server: Served, cast: Cast) -> None:
    with pytest.raises(Exception, match="403"):
        async with chat_of(server, cast.alice, "/ws/nothing"):
            pass


@pytest.fixture
def one_minute(monkeypatch: Any) -> None:
    """Waits so that the minute does not end within a test."""
    clock = StoppedClock()
    monkeypatch.setattr(rate_limits, "time", clock)
    monkeypatch.setattr(refusals, "timezone", clock)


@pytest.mark.usefixtures("one_minute")
@pytest.mark.parametrize("frame", [{"type": "stop", "turn_id": "x"}, "no json", b"bytes", {"type": "dance"}])
async def test_too_many_frames_are_refused_by_an_error_and_not_by_closing(
    server: Served, cast: Cast, settings: Any, frame: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 3  # of which opening the socket is one
    async with chat_of(server, cast.alice) as socket:
        chat = Chat(socket)
        for _ in range(4):
            await chat.say(frame)
        errors = [(await chat.hear_until("error"))[-1]["error"] for _ in range(4)]
        assert [error["code"] == "rate_limited" for error in errors] == [False, False, True, True]
        assert 0 < errors[-1]["details"]["retry_after"] <= 60
        assert errors[-1]["request_id"]
        settings.REQUESTS_PER_MINUTE = 3
        assert socket.close_code is None
    async with chat_of(server, cast.bob) as socket:
        await Chat(socket).say(message("hi"))
        assert (await Chat(socket).hear())["type"] == "started"


@pytest.mark.usefixtures("one_minute")
async def test_a_flood_of_frames_closes_the_socket(server: Served, cast: Cast, settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = 10
    async with chat_of(server, cast.alice) as socket:
        for _ in range(MOST_REFUSED + 9):  # the first ten are within the limit, opening the socket among them
            await socket.send("{}")
        with suppress(ConnectionClosed):
            while True:
                assert (await Chat(socket).hear())["type"] == "error"
    assert socket.close_code == TOO_MANY
    async with chat_of(server, cast.alice) as socket:
        assert (await Chat(socket).hear())["error"]["code"] == "rate_limited"
        with pytest.raises(ConnectionClosed):
            await Chat(socket).hear()


@pytest.mark.usefixtures("one_minute")
async def test_consumers_count_too_and_refusals_do_not_flood_the_audit(
    server: Served, cast: Cast, settings: Any, client_of: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 30
    alice = client_of(cast.alice)
    asked = [alice.post("/v1/chat/send", json={"message": "hi", "model": f"m{n}"}) for n in range(31)]
    assert [answer.status_code for answer in asked[-2:]] == [403, 429]
    refused = asked[-1]
    assert refused.json()["error"]["code"] == "rate_limited"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    for path in ("/v1/chat/completions", "/v1/chat/explain"):
        assert alice.post(path, json={"model": "local", "messages": []}).status_code == 429
    assert await in_public(AuditEntry.objects.filter(action="turn.refused").count) <= 2
