"""The faults that tests can set: a cut stream, a lost generation, a LibreChat that is down."""

import asyncio
import threading

import httpx
import pytest

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import kind
from gateway.tests.replayed_librechat.tests.conftest import SignIn
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient, content, until
from gateway.tests.replayed_librechat.tests.scripted_egress import Reply, ScriptedEgress, text


async def test_a_cut_stream_can_be_resumed(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    librechat.break_stream_after = 4
    gate = threading.Event()
    egress.replies = [Reply([*text("one "), gate, *text("two")])]
    await alice.start("count")
    with pytest.raises(httpx.RemoteProtocolError):
        await alice.read()
    reading = asyncio.create_task(alice.read(resume=True))
    await until(lambda: librechat.counters["streams"] == 2)
    gate.set()
    resumed = await reading
    assert kind(resumed[0]) == "sync"
    assert content(resumed) == [{"type": "text", "text": "one two"}]


async def test_a_lost_generation_ends_abruptly_and_is_unknown(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    egress.replies = [Reply([*text("one "), threading.Event()])]
    await alice.start("count")
    reading = asyncio.create_task(alice.read())
    await until(lambda: len(egress.requests) == 1)
    librechat.lose_generation()
    with pytest.raises(httpx.RemoteProtocolError):
        await reading
    again = await alice.http.get(f"/api/agents/chat/stream/{alice.conversation}?resume=true")
    assert again.status_code == 404
    assert [message["text"] for message in await alice.messages()] == ["count"]


async def test_a_librechat_that_is_down_answers_503(
    alice: EngineClient, librechat: ReplayedLibreChat
) -> None:
    librechat.down = True
    assert (await alice.http.get("/api/convos")).status_code == 503
    assert (await alice.http.post("/api/auth/login", json={})).status_code == 503
    librechat.down = False
    assert (await alice.http.get("/api/convos")).status_code == 200


async def test_requests_are_recorded_and_a_reset_removes_everything(
    alice: EngineClient, sign_in: SignIn, librechat: ReplayedLibreChat
) -> None:
    started = await alice.start("Hello")
    call = librechat.requests[-1]
    assert (call.method, call.path) == ("POST", "/api/agents/chat/Routed")
    assert (call.user_id, call.body["text"]) == (alice.user["id"], "Hello")
    secret, librechat.retry_delay = librechat.secret, 7
    librechat.reset()
    assert (librechat.requests, librechat.retry_delay, librechat.secret) == ([], 0.01, secret)
    assert (await alice.http.get("/api/user")).status_code == 401
    bob = await sign_in("Bob")
    answer = await bob.http.get(f"/api/messages/{started['conversationId']}")
    assert (bob.user["role"], answer.status_code) == ("ADMIN", 404)
