"""The egress is unavailable once its port is closed, or after two failures in a row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.engines.librechat import egress_watch
from gateway.engines.librechat.egress_watch import EgressWatch
from gateway.errors import EngineUnavailable
from kit.tests.ports import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ERROR = OK.replace(b"200 OK", b"503 Down")
SLOW = b""  # sends nothing


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked each time, and patient for a moment."""
    monkeypatch.setattr(egress_watch, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(egress_watch, "PROBE_SECONDS", 0.2)


@asynccontextmanager
async def egress(*answers: bytes) -> AsyncIterator[str]:
    """Its URL; it gives each connection the next of the answers."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = left.pop(0)
        if said:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
        else:
            await reader.read()  # until the other side gives up
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("failure", [SLOW, ERROR], ids=["slow", "error"])
async def test_one_failure_refuses_no_turn_and_two_in_a_row_do(failure: bytes, settings: Any) -> None:
    watch = EgressWatch()
    async with egress(OK, failure, OK, failure, failure, OK) as settings.EGRESS_HEALTH_URL:
        assert [await watch.is_up() for _ in range(6)] == [True, True, True, True, False, True]


async def test_the_first_answer_may_be_slow(settings: Any) -> None:
    async with egress(SLOW) as settings.EGRESS_HEALTH_URL:
        await EgressWatch().expect_up()


async def test_a_refused_connection_is_enough(settings: Any) -> None:
    settings.EGRESS_HEALTH_URL = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EngineUnavailable):
        await EgressWatch().expect_up()
