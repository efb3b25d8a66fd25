"""A stopping server drains its application first, and responds to requests that it cuts off."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import httpx
import pytest

from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from kit.http_consumer import HttpConsumer
from kit.shutdown_responses import ShutdownResponses
from kit.shutdown_state import stopping
from kit.uvicorn_shutdown import DRAIN, drain_before_shutdown

drain_before_shutdown()


class WaitingConsumer(HttpConsumer):
    """Never ends its response."""

    method: ClassVar[str] = "GET"

    async def handle(self, body: bytes) -> None:
        if self.scope["path"] == "/stream":
            await self.send_stream(one_and_no_more())
        await asyncio.Event().wait()

    def cut_off_chunk(self, error: Any) -> bytes:
        return f"event: end\ndata: {error.code}\n\n".encode()


async def one_and_no_more() -> AsyncIterator[bytes]:
    yield b"event: begin\ndata: \n\n"
    await asyncio.Event().wait()


class Waiting:
    """An ASGI application with endless requests, whose drain waits for the test."""

    def __init__(self) -> None:
        self.may_end, self.drains = threading.Event(), threading.Event()
        self.open_requests = 0

    async def drain(self, open_requests: set[asyncio.Task[None]]) -> None:
        assert stopping().begun.is_set()
        self.open_requests = len(open_requests)
        self.drains.set()
        while not self.may_end.is_set():  # a threading.Event cannot be awaited
            await asyncio.sleep(0.01)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"][DRAIN] = self.drain
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"] == "/plain":
            await asyncio.Event().wait()
        else:
            await WaitingConsumer.as_asgi()(scope, receive, send)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def served(waiting: Waiting) -> Iterator[Served]:
    with Served(ShutdownResponses(waiting), lifespan="on") as served:
        served.server.config.timeout_graceful_shutdown = 0  # connections open after the drain are cut off
        yield served
        waiting.may_end.set()


def ask(served: Served, path: str) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(served.url + path, timeout=20)))
    thread.start()
    wait_until(lambda: bool(served.server.server_state.tasks))
    return thread, answers


@pytest.mark.parametrize("path", ["/plain", "/consumer"])
def test_a_request_that_is_cut_off_gets_an_error_response(
    served: Served, waiting: Waiting, path: str
) -> None:
    thread, answers = ask(served, path)
    served.server.should_exit = True
    assert waiting.drains.wait(10)
    assert waiting.open_requests == 1
    assert thread.is_alive(), "it was cut off before the application was drained"
    waiting.may_end.set()
    thread.join()
    error = answers[0].json()["error"]
    assert (answers[0].status_code, error["code"]) == (503, "shutting_down")
    assert error["request_id"] == answers[0].headers["x-request-id"]
    assert int(answers[0].headers["Retry-After"]) > 0
    assert answers[0].headers["Connection"] == "close"


def test_a_stream_that_is_cut_off_ends_with_an_error_event(served: Served, waiting: Waiting) -> None:
    thread, answers = ask(served, "/stream")
    served.server.should_exit = True
    waiting.may_end.set()
    thread.join()
    assert answers[0].text.endswith("event: end\ndata: shutting_down\n\n")


def test_a_second_interrupt_ends_the_draining(served: Served, waiting: Waiting) -> None:
    served.server.should_exit = True
    assert waiting.drains.wait(10)
    served.server.force_exit = True
    served.thread.join(5)
    assert not served.thread.is_alive()
