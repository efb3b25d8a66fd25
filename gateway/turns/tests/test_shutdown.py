"""A server that stops finishes its replies, and every client learns how to continue."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.test import Client
from websockets.exceptions import ConnectionClosed

from accounts.tests.cast import Cast
from config.asgi import application
from gateway.api.tests.test_socket import Chat, chat_of, message
from gateway.tests.events import STREAM, StreamEvent, body, parse, resume, text_of
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until

SERVICE_RESTART = 1012


@pytest.fixture
def second(server: Served) -> Iterator[Served]:
    """A second process as far as turns go, to be stopped by the test."""
    with Served(application, lifespan="on") as second:
        yield second


@pytest.fixture
def at_home(client_of: Any, cast: Cast) -> httpx.Client:
    """Alice at the other server, which keeps running."""
    found: httpx.Client = client_of(cast.alice)
    return found


@pytest.fixture
def client(second: Served, cast: Cast) -> Iterator[httpx.Client]:
    """Alice at the server that stops, with one persistent connection."""
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=second.url, headers=cast.alice.headers, timeout=30, limits=limits) as client:
        yield client


def begin_stop(served: Served) -> None:
    """Asks it to stop, and returns once it no longer listens."""
    served.server.should_exit = True
    wait_until(lambda: not is_listening(served.port))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def in_background(work: Any) -> "tuple[threading.Thread, list[Any]]":
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_a_reply_that_is_being_written_is_finished_and_no_other_begins(
    second: Served, client: httpx.Client, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    client.get("/healthz")
    streaming = httpx.Client(base_url=second.url, headers=cast.alice.headers, timeout=30)
    with streaming, streaming.stream("POST", "/v1/chat/send", json=body("x"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        begun = [next(received), next(received)]
        begin_stop(second)
        refused = client.post("/v1/chat/send", json=body("more"))
        gate.set()
        rest = list(received)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"]
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Connection"] == "close"
    assert text_of(begun + rest) == "One two"
    assert rest[-1].data == {"finish_reason": "stop"}
    assert len(provider.requests) == 1


def test_other_requests_are_still_served_on_open_connections(
    second: Served, client: httpx.Client, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate])
    client.get("/healthz")
    thread, answers = in_background(
        lambda: httpx.post(
            f"{second.url}/v1/chat/send", json=body("x"), headers=cast.alice.headers, timeout=30
        )
    )
    wait_until(lambda: len(provider.requests) == 1)
    begin_stop(second)
    models = client.get("/v1/models")
    assert (models.status_code, models.headers["Connection"]) == (200, "close")
    gate.set()
    thread.join()
    assert (answers[0].status_code, answers[0].json()["reply"]) == (200, "One ")


def test_a_follower_of_another_processs_turn_is_sent_moved_and_resumes_there(
    second: Served, client: httpx.Client, at_home: httpx.Client, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", "two ", gate, "three"])
    with at_home.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        turn_id = next(parse(answer.iter_lines())).data["turn_id"]
    with client.stream("GET", f"/v1/chat/turns/{turn_id}/events") as followed:
        received = parse(followed.iter_lines())
        seen = [next(received), next(received)]
        second.server.should_exit = True
        (moved,) = list(received)
    assert (moved.type, moved.id, moved.data["turn_id"]) == ("moved", 0, turn_id)
    assert "restarting" in moved.data["text"]
    gate.set()
    rest = resume(at_home, turn_id, seen[-1].id)
    assert text_of(seen + rest) == "One two three"


@pytest.mark.slow
def test_a_reader_of_a_shared_reply_stays_until_it_is_finished(
    second: Served, client: httpx.Client, at_home: httpx.Client, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines())).data
    at_home.patch(f"/v1/conversations/{started['conversation_id']}", json={"shared": True})
    address = f"{second.url}/v1/chat/turns/{started['turn_id']}/events"
    with httpx.stream("GET", address, headers=cast.bob.headers, timeout=30) as followed:
        received = parse(followed.iter_lines())
        seen = [next(received), next(received)]
        begin_stop(second)
        gate.set()
        seen += received
    assert text_of(seen) == "One two"
    assert seen[-1].data == {"finish_reason": "stop"}


def test_the_page_is_sent_moved_too(
    second: Served, at_home: httpx.Client, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate])
    with at_home.stream("POST", "/v1/chat/send", json=body("x"), headers=STREAM) as answer:
        turn_id = next(parse(answer.iter_lines())).data["turn_id"]
    path = f"/t/{cast.alice.principal.tenant.slug}/w/{cast.alice.principal.workspace.slug}"
    browser = Client()
    browser.force_login(cast.alice.user)
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    with httpx.stream("GET", f"{second.url}{path}/turns/{turn_id}/events", headers=cookie) as followed:
        lines = followed.iter_lines()
        assert next(parse(lines)).type == "started"
        second.server.should_exit = True
        rest = list(lines)
    assert any(line.startswith("retry: ") for line in rest)
    assert "event: moved" in rest
    gate.set()


def test_a_json_response_for_another_processs_turn_is_refused_with_its_id(
    second: Served, client: httpx.Client, at_home: httpx.Client, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate])
    key = {"Idempotency-Key": "the-same-message"}
    with at_home.stream("POST", "/v1/chat/send", json=body("x"), headers={**STREAM, **key}) as answer:
        turn_id = next(parse(answer.iter_lines())).data["turn_id"]
    thread, answers = in_background(lambda: client.post("/v1/chat/send", json=body("x"), headers=key))
    wait_until(lambda: bool(second.server.server_state.tasks))
    second.server.should_exit = True
    thread.join()
    error = answers[0].json()["error"]
    assert (answers[0].status_code, error["code"]) == (503, "shutting_down")
    assert "Retry-After" in answers[0].headers
    assert error["details"] in ({"turn_id": turn_id}, {})  # {}: the turn was not read yet
    gate.set()
    again = at_home.post("/v1/chat/send", json=body("x"), headers=key)
    assert (again.json()["turn_id"], again.json()["reply"]) == (turn_id, "One ")


def test_a_turn_beyond_the_grace_period_is_interrupted_with_its_partial_reply(
    second: Served, client: httpx.Client, at_home: httpx.Client, provider: ScriptedProvider, settings: Any
) -> None:
    settings.GRACE = 0.3
    provider.script = Script(steps=["One ", threading.Event()])
    with client.stream("POST", "/v1/chat/send", json=body("x"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        seen = [next(received), next(received)]
        second.server.should_exit = True
        seen += received
    assert [event.type for event in seen[2:]] == ["error", "usage", "done"]
    assert seen[2].data["error"]["code"] == "turn_interrupted"
    assert seen[-1].data == {"finish_reason": "interrupted"}
    turn = at_home.get(f"/v1/chat/turns/{seen[0].data['turn_id']}").json()
    assert (turn["finish_reason"], turn["reply"]) == ("interrupted", text_of(seen))


@pytest.mark.parametrize("path", ["/v1/chat/send", "/v1/chat/completions"])
def test_a_json_response_beyond_the_grace_period_is_an_error(
    second: Served, client: httpx.Client, provider: ScriptedProvider, settings: Any, path: str
) -> None:
    settings.GRACE = 0.3
    provider.script = Script(steps=["One ", threading.Event()])
    asked = body("x") if path.endswith("send") else completion()
    thread, answers = in_background(lambda: client.post(path, json=asked))
    wait_until(lambda: len(provider.requests) == 1)
    second.server.should_exit = True
    thread.join()
    error = answers[0].json()["error"]
    assert (answers[0].status_code, error["code"]) == (503, "turn_interrupted")
    assert error["request_id"] == answers[0].headers["x-request-id"]
    assert int(answers[0].headers["Retry-After"]) > 0
    if path.endswith("send"):
        assert (error["details"]["reply"], bool(error["details"]["turn_id"])) == ("One ", True)
    else:
        assert error["type"] == "api_error"


def test_a_streamed_completion_beyond_the_grace_ends_with_an_error_chunk(
    second: Served, client: httpx.Client, provider: ScriptedProvider, settings: Any
) -> None:
    settings.GRACE = 0.3
    provider.script = Script(steps=["One ", threading.Event()])
    with client.stream("POST", "/v1/chat/completions", json=completion(stream=True)) as answer:
        lines = (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))
        while "One " not in next(lines):
            pass
        second.server.should_exit = True
        *rest, done = lines
    errors = [json.loads(line)["error"] for line in rest if "error" in json.loads(line)]
    assert [error["code"] for error in errors] == ["turn_interrupted"]
    assert done == "[DONE]"


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "local", "messages": [{"role": "user", "content": "x"}], **fields}


@pytest.mark.slow
async def test_sockets_close_as_soon_as_no_turn_of_theirs_runs_here(
    server: Served, second: Served, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    async with (
        chat_of(second, cast.alice) as idle,
        chat_of(second, cast.alice) as busy,
        chat_of(server, cast.alice) as at_home,
    ):
        await Chat(busy).say(message("count"))
        begun = await Chat(busy).hear_until("delta")
        await Chat(at_home).say(message("count elsewhere"))
        elsewhere = (await Chat(at_home).hear_until("delta"))[0]
        await Chat(busy).say({"type": "resume", "turn_id": elsewhere["turn_id"]})
        while (await Chat(busy).hear())["type"] != "delta":
            pass
        second.server.should_exit = True
        with pytest.raises(ConnectionClosed):
            await Chat(idle).hear()
        assert idle.close_code == SERVICE_RESTART
        moved = await Chat(busy).hear()
        assert (moved["type"], moved["turn_id"]) == ("moved", elsewhere["turn_id"])
        await Chat(busy).say(message("more", ref="late"))
        refused = await Chat(busy).hear()
        assert (refused["error"]["code"], refused["ref"]) == ("shutting_down", "late")
        gate.set()
        rest = await Chat(busy).hear_until("done")
        assert text_of([received(frame) for frame in begun + rest]) == "One two"
        with pytest.raises(ConnectionClosed):
            await Chat(busy).hear()
        assert busy.close_code == SERVICE_RESTART
        assert (await Chat(at_home).hear_until("done"))[-1]["finish_reason"] == "stop"


def received(frame: dict[str, Any]) -> StreamEvent:
    return StreamEvent(frame.get("id", 0), frame["type"], frame)


async def test_a_stop_without_turns_takes_no_time(second: Served, cast: Cast) -> None:
    async with chat_of(second, cast.alice) as idle:
        second.server.should_exit = True
        async with asyncio.timeout(8):  # less than the grace
            await idle.wait_closed()
            await asyncio.to_thread(second.thread.join)
    assert idle.close_code == SERVICE_RESTART
