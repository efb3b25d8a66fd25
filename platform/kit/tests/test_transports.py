"""Reaching our own limit is at_capacity, never the server's fault; model calls have no such limit."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from kit import outbound
from kit.errors import AtCapacity
from kit.per_loop import PerLoop
from workspaces.mcp_servers.client import Address, list_tools
from workspaces.mcp_servers.oauth.metadata import oauth_http


class HoldingServer:
    """Sends headers immediately, and the end of the body when released."""

    def __init__(self) -> None:
        self.most = self.open = 0
        self.let_go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.open += 1
        self.most = max(self.most, self.open)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        await self.let_go.wait()
        self.open -= 1
        writer.write(b"ok")
        writer.close()


@pytest.fixture
async def holding(settings: Any) -> AsyncIterator[tuple[HoldingServer, str]]:
    server = HoldingServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=512) as listening:
        port = listening.sockets[0].getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        yield server, f"http://127.0.0.1:{port}/"
        server.let_go.set()


@pytest.mark.parametrize("limits", [{"most_per_host": 2}, {"most": 2}])
async def test_a_full_pool_is_at_capacity(holding: tuple[HoldingServer, str], limits: dict[str, int]) -> None:
    server, url = holding
    async with outbound.OutboundClient(**limits) as client:
        held = [asyncio.create_task(client.get(url)) for _ in range(2)]
        while server.open < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(AtCapacity) as refusal:
            await client.get(url, timeout=httpx.Timeout(None, pool=0.4))
        assert refusal.value.details["retry_after"] > 0
        waiting = asyncio.create_task(client.get(url, timeout=httpx.Timeout(None, pool=None)))
        server.let_go.set()
        answers = await asyncio.gather(*held, waiting)
    assert [answer.text for answer in answers] == ["ok"] * 3


async def test_a_tool_server_is_not_blamed_for_a_full_pool(
    holding: tuple[HoldingServer, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = holding
    settings.MCP_CONNECT_SECONDS = 1
    narrow = partial(outbound.OutboundClient, most_per_host=1)
    monkeypatch.setattr(outbound, "_clients", PerLoop(narrow, close=outbound.OutboundClient.aclose))
    held = asyncio.create_task(outbound.client().get(url))
    while not server.open:
        await asyncio.sleep(0.01)
    with pytest.raises(AtCapacity):
        await list_tools(Address(url, "http"))
    with pytest.raises(AtCapacity):
        async with oauth_http() as http:
            await http.get(url)
    server.let_go.set()
    await held


async def test_a_server_that_accepts_no_connection_is_its_own_fault(settings: Any) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{address[1]}"]
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            async with outbound.OutboundClient() as client:
                with pytest.raises(httpx.TimeoutException):
                    await client.get(
                        f"http://127.0.0.1:{address[1]}/", timeout=httpx.Timeout(None, connect=0.3, pool=0.5)
                    )


async def test_calls_to_models_never_wait_for_a_connection(holding: tuple[HoldingServer, str]) -> None:
    server, url = holding
    calls = 2 * outbound.CONNECTIONS_PER_HOST + 50
    held = [asyncio.create_task(outbound.model_client().get(url)) for _ in range(calls)]
    async with asyncio.timeout(20):
        while server.open < calls:
            await asyncio.sleep(0.02)
        server.let_go.set()
        answers = await asyncio.gather(*held)
    assert {answer.text for answer in answers} == {"ok"}


@pytest.fixture
def no_descriptors() -> Iterator[Any]:
    """`no_descriptors()`: afterwards this process cannot open files or sockets."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_lack_of_descriptors_is_at_capacity(
    holding: tuple[HoldingServer, str], no_descriptors: Any
) -> None:
    _, url = holding
    client = outbound.model_client()
    held = asyncio.create_task(client.get(url))  # opens what a client opens once
    while not holding[0].open:
        await asyncio.sleep(0.01)
    no_descriptors()
    with pytest.raises(AtCapacity):
        await client.get(url)
    held.cancel()
