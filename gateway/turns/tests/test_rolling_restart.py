"""Real processes are restarted while replies are written: every client gets the whole text."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from accounts.tests.cast import Cast, Person
from gateway.tests.events import STREAM, body
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from gateway.tests.web_processes import WebProcess, web_processes

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TURNS = 15  # at each of two processes
RESUME_SECONDS = 90.0
IMMEDIATELY = 10.0  # seconds, on a busy machine; the grace is 30
FIRST_WORD, BOTH_WORDS = "One ", "One two"


class Client:
    """Follows one turn as documented, and stores the events."""

    def __init__(self, person: Person, urls: list[str]) -> None:
        self.person = person
        self.urls = urls  # tried in turn, the first one first
        self.turn_id = ""
        self.last_id = 0
        self.text = ""
        self.finish_reason = ""
        self.ids: list[int] = []
        self.moves: list[float] = []  # when it was asked to resume elsewhere
        self.errors: list[str] = []
        self.has_begun = asyncio.Event()

    @property
    def is_done(self) -> bool:
        return bool(self.finish_reason)

    def take(self, kind: str, number: int, data: dict[str, Any]) -> None:
        if kind == "moved":
            self.moves.append(time.monotonic())
            return
        if number:
            self.ids.append(number)
            self.last_id = number
        if kind == "started":
            self.turn_id = data["turn_id"]
        if kind == "delta":
            self.text += data["text"]
            self.has_begun.set()
        if kind == "error":
            self.errors.append(data["error"]["code"])
        if kind == "done":
            self.finish_reason = data["finish_reason"]

    def followed_elsewhere(self) -> "Client":
        """Another client of the same turn, which asks the other process first."""
        other = Client(self.person, self.urls[::-1])
        other.turn_id = self.turn_id
        return other

    async def over_http(self) -> None:
        async with httpx.AsyncClient(headers={**self.person.headers, **STREAM}, timeout=60) as http:
            async for url in self._addresses():
                if self.turn_id:
                    headers = {"Last-Event-ID": str(self.last_id)}
                    asked = http.stream("GET", f"{url}/v1/chat/turns/{self.turn_id}/events", headers=headers)
                else:
                    asked = http.stream("POST", f"{url}/v1/chat/send", json=body("count"))
                async with asked as answer:
                    assert answer.status_code == 200, await answer.aread()
                    await self._read(answer)

    async def _read(self, answer: httpx.Response) -> None:
        """A stream that breaks off raises RemoteProtocolError, which no stop may cause."""
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif not line and "event" in fields:
                self.take(fields["event"], int(fields.get("id", 0)), json.loads(fields["data"]))
                fields = {}

    async def over_a_socket(self) -> None:
        async for url in self._addresses():
            address = url.replace("http", "ws", 1) + "/ws/chat"
            async with connect(address, subprotocols=["bearer", self.person.token]) as ws:  # type: ignore[list-item]
                if self.turn_id:
                    frame = {"type": "resume", "turn_id": self.turn_id, "last_event_id": self.last_id}
                else:
                    frame = {"type": "send", **body("count")}
                await ws.send(json.dumps(frame))
                try:
                    while not self.is_done:
                        received = json.loads(await ws.recv())
                        self.take(received["type"], received.get("id", 0), received)
                except ConnectionClosed:
                    assert ws.close_code == 1012

    async def _addresses(self) -> AsyncIterator[str]:
        """Where to ask next, until the turn is done; one that refuses connections is passed over."""
        async with asyncio.timeout(RESUME_SECONDS):
            while not self.is_done:
                for url in self.urls:
                    if not self.is_done and await is_reachable(url):
                        yield url
                await asyncio.sleep(0.1)


async def is_reachable(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    except OSError:
        return False
    writer.close()
    return True


async def test_turns_shorter_than_the_grace_finish_exactly(cast: Cast, provider: ScriptedProvider) -> None:
    with web_processes(1, GRACE="6") as (process,):
        last = script_of_two_words(provider)
        clients = [Client(cast.alice, [process.url]) for _ in range(6)]
        tasks, answers = start(clients), start_json(cast.alice, process)
        await begun(clients)
        await asyncio.to_thread(wait_until, lambda: len(provider.requests) == 8)
        process.ask_to_stop()
        later(4, last)
        sent, completed = await asyncio.gather(*answers)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(process.wait_until_end, 10)
    assert {(client.text, client.finish_reason) for client in clients} == {(BOTH_WORDS, "stop")}
    assert not any(client.errors or client.moves for client in clients)
    assert (sent.status_code, sent.json()["reply"]) == (200, BOTH_WORDS)
    assert completed.json()["choices"][0]["message"]["content"] == BOTH_WORDS


async def test_turns_longer_than_the_grace_are_interrupted_and_nothing_shown_is_lost(
    cast: Cast, provider: ScriptedProvider
) -> None:
    with web_processes(1, GRACE="2") as (process,):
        script_of_two_words(provider)
        clients = [Client(cast.alice, [process.url]) for _ in range(6)]
        tasks, answers = start(clients), start_json(cast.alice, process)
        await begun(clients)
        await asyncio.to_thread(wait_until, lambda: len(provider.requests) == 8)
        process.ask_to_stop()
        refused = await asyncio.gather(*answers)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(process.wait_until_end, 15)
        process.start()
        await asyncio.to_thread(process.wait_until_up)
        async with httpx.AsyncClient(base_url=process.url, headers=cast.alice.headers) as http:
            turns = [(await http.get(f"/v1/chat/turns/{client.turn_id}")).json() for client in clients]
    for client, turn in zip(clients, turns, strict=True):
        assert (client.finish_reason, client.errors) == ("interrupted", ["turn_interrupted"])
        assert (turn["finish_reason"], turn["reply"]) == ("interrupted", client.text)
    for answer in refused:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "turn_interrupted")
        assert error["request_id"] == answer.headers["x-request-id"]
        assert int(answer.headers["Retry-After"]) > 0
    assert refused[0].json()["error"]["details"]["reply"] == FIRST_WORD


@needs("redis-server")
async def test_a_rolling_restart_loses_nothing_of_thirty_turns(
    cast: Cast,
    provider: ScriptedProvider,
    redis_url: str,
) -> None:
    """Each turn is followed where it runs, and at the other process too."""
    with web_processes(2, GRACE="30", REDIS_URL=redis_url) as (first, second):
        end_at_first = script_of_two_words(provider)
        at_first = [Client(cast.alice, [first.url, second.url]) for _ in range(TURNS)]
        tasks, (waiting, _) = start(at_first), start_json(cast.alice, first)
        await begun(at_first)
        await asyncio.to_thread(wait_until, lambda: len(provider.requests) == TURNS + 2)
        end_at_second = script_of_two_words(provider)
        at_second = [Client(cast.alice, [second.url, first.url]) for _ in range(TURNS)]
        tasks += start(at_second)
        await begun(at_second)
        followers = [client.followed_elsewhere() for client in (*at_first, *at_second)]
        tasks += start(followers)
        await begun(followers)

        await stop_and_see_clients_move(first, cast.alice, followers)
        assert not any(client.moves for client in at_first)
        end_at_first.set()
        assert (await waiting).json()["reply"] == BOTH_WORDS
        await asyncio.to_thread(first.wait_until_end, 15)
        assert all(client.is_done for client in at_first)
        first.start()
        await asyncio.to_thread(first.wait_until_up)
        assert not any(client.is_done for client in at_second)
        second.ask_to_stop()
        later(1, end_at_second)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(second.wait_until_end, 15)
    for client in (*at_first, *at_second, *followers):
        assert (client.text, client.finish_reason) == (BOTH_WORDS, "stop")
        assert client.ids == sorted(set(client.ids))
        assert not client.errors


async def stop_and_see_clients_move(process: WebProcess, person: Person, followers: list[Client]) -> None:
    """Clients that follow a turn of another process, or none, are sent away immediately."""
    address = f"ws://127.0.0.1:{process.port}/ws/chat"
    async with connect(address, subprotocols=["bearer", person.token]) as idle:  # type: ignore[list-item]
        asked_at = time.monotonic()
        process.ask_to_stop()
        async with asyncio.timeout(20):
            await idle.wait_closed()
        assert idle.close_code == 1012
        assert time.monotonic() - asked_at < IMMEDIATELY
    moved = [client for client in followers if client.urls[0] == process.url]
    await asyncio.to_thread(wait_until, lambda: all(client.moves for client in moved))
    assert max(client.moves[0] for client in moved) - asked_at < IMMEDIATELY


@needs("redis-server")
async def test_workers_that_stop_refuse_new_clients_and_finish_their_turns(
    cast: Cast,
    provider: ScriptedProvider,
    redis_url: str,
) -> None:
    with web_processes(1, GRACE="30", REDIS_URL=redis_url, WEB_CONCURRENCY="2") as (process,):
        last = script_of_two_words(provider)
        clients = [Client(cast.alice, [process.url]) for _ in range(6)]
        tasks = start(clients)
        await begun(clients)
        process.ask_to_stop()
        await asyncio.to_thread(wait_until, lambda: not is_listening(process.port), 5)
        assert not any(client.is_done for client in clients)
        last.set()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(process.wait_until_end, 15)
    assert {(client.text, client.finish_reason) for client in clients} == {(BOTH_WORDS, "stop")}


def script_of_two_words(provider: ScriptedProvider) -> threading.Event:
    """The script of all turns from now on; the second word waits for the event."""
    gate = threading.Event()
    provider.script = Script(steps=[FIRST_WORD, gate, BOTH_WORDS.removeprefix(FIRST_WORD)])
    return gate


def later(seconds: float, gate: threading.Event) -> None:
    timer = threading.Timer(seconds, gate.set)
    timer.daemon = True
    timer.start()


def start(clients: list[Client]) -> list[asyncio.Task[None]]:
    """Three of them over a socket each."""
    return [
        asyncio.create_task(client.over_a_socket() if at < 3 else client.over_http())
        for at, client in enumerate(clients)
    ]


def start_json(person: Person, process: WebProcess) -> list[asyncio.Task[httpx.Response]]:
    """A message and a completion, whose answers come in one piece."""

    async def post(path: str, sent: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(base_url=process.url, headers=person.headers, timeout=60) as http:
            return await http.post(path, json=sent)

    completion = {"model": "local", "messages": [{"role": "user", "content": "x"}]}
    return [
        asyncio.create_task(post("/v1/chat/send", body("x"))),
        asyncio.create_task(post("/v1/chat/completions", completion)),
    ]


async def begun(clients: list[Client]) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*(client.has_begun.wait() for client in clients))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
