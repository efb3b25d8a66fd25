"""Hostile and faulty servers: each affects only the call to it."""

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from gateway.tests.real_mcp import answer
from gateway.tests.served import Served
from kit.errors import DomainError, UpstreamTooLarge
from workspaces.errors import McpServerFailed, McpSignInNeeded
from workspaces.mcp_servers.client import Address, ToolOutcome, call_tool, list_tools
from workspaces.mcp_servers.definitions import MOST_TOOLS

TOOL = {"name": "look", "description": "Looks", "inputSchema": {"type": "object", "properties": {}}}
DONE = {"content": [{"type": "text", "text": "done"}]}
JSON = [(b"content-type", b"application/json")]


class HostileMCP:
    """MCP written by hand, so that each response can be faulty: `results` or `errors`, by method."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.errors: dict[str, Any] = {}
        self.session = b""
        self.drips_on_delete = self.makes_us_reconnect = self.pings = False
        self.is_over = False
        self.waits_for_cancel = self.is_cancelling = False  # sends a result during cancellation
        self.delete_received = asyncio.Event()
        self.headers: list[tuple[bytes, bytes]] = []
        self.encodings: list[str] = []
        self.compresses_refusal = False
        self.asked: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked.append(scope["method"])
        if scope["method"] == "DELETE" and self.is_cancelling:
            self.delete_received.set()
            await asyncio.sleep(0.05)
            await answer(send, 200, b"", [])
        elif scope["method"] == "DELETE" and self.drips_on_delete:
            await self._drip(send)
        elif scope["method"] == "GET":
            await answer(send, 405, b"", [])
        elif scope["method"] == "POST":
            body = await receive()
            await self._answer(json.loads(body["body"]), send)
        else:
            await answer(send, 200, b"", [])

    async def _answer(self, asked: dict[str, Any], send: Any) -> None:
        method, id_ = asked["method"], asked.get("id")
        self.asked.append(method)
        if self.compresses_refusal:
            await answer(send, 401, gzip.compress(b"no"), [(b"content-encoding", b"gzip")])
        elif id_ is None:
            await answer(send, 202, b"", [])
        elif method == "tools/call" and self.makes_us_reconnect:
            await answer(send, 200, b"retry: 0\nid: 1\ndata:\n\n", [(b"content-type", b"text/event-stream")])
        elif method == "tools/call" and self.pings:
            await self._drip(send)
        else:
            if method == "tools/call" and self.waits_for_cancel:
                await self.delete_received.wait()
            await self._respond(method, id_, send)

    async def _respond(self, method: str, id_: Any, send: Any) -> None:
        begin = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
        usual = {
            "initialize": {**begin, "serverInfo": {"name": "x", "version": "1"}},
            "tools/list": {"tools": [TOOL]},
            "tools/call": DONE,
        }
        outcome = {"result": self.results.get(method, usual[method])}
        if method in self.errors:
            outcome = {"error": self.errors[method]}
        body = json.dumps({"jsonrpc": "2.0", "id": id_, **outcome}).encode()
        headers = [*JSON, *self.headers, *([(b"mcp-session-id", self.session)] if self.session else [])]
        if method == "tools/list":
            for encoding in self.encodings:
                body = gzip.compress(body) if encoding == "gzip" else body
            if self.encodings:
                headers.append((b"content-encoding", ", ".join(self.encodings).encode()))
        await answer(send, 200, body, headers)

    async def _drip(self, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for _ in range(400):
            if self.is_over:
                break
            await send({"type": "http.response.body", "body": b": \n\n", "more_body": True})
            await asyncio.sleep(0.05)


@pytest.fixture
def hostile(settings: Any) -> Iterator[tuple[HostileMCP, Address]]:
    server = HostileMCP()
    with Served(server) as served:
        settings.OUTBOUND_ALLOWED = [served.url.removeprefix("http://")]
        yield server, Address(served.url, "http")
        server.is_over = True


async def call(address: Address) -> ToolOutcome:
    """Calls the only tool with the hash of its current definition."""
    (tool,) = await list_tools(address)
    return await call_tool(address, name="look", arguments={}, expected_hash=tool.hash)


async def test_results_are_not_checked_against_the_output_schema(
    hostile: tuple[HostileMCP, Address],
) -> None:
    """Its pattern could block the process, and a tool whose result does not match has run."""
    server, address = hostile
    promised = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    server.results["tools/list"] = {"tools": [{**TOOL, "outputSchema": promised}]}
    server.results["tools/call"] = {**DONE, "structuredContent": {"a": "a" * 60 + "!"}}
    assert await call(address) == ToolOutcome(output="done", is_error=False)


@pytest.mark.parametrize("encodings", [["gzip"], ["gzip", "gzip"]])
async def test_compressed_responses_are_refused(
    hostile: tuple[HostileMCP, Address], encodings: list[str]
) -> None:
    server, address = hostile
    server.encodings = encodings
    with pytest.raises(McpServerFailed):
        await call(address)


@pytest.mark.parametrize("encoding", ["none", "utf-8", "identity"])
async def test_encodings_that_do_not_compress_are_read(
    hostile: tuple[HostileMCP, Address], encoding: str
) -> None:
    server, address = hostile
    server.encodings = [encoding]
    assert await call(address) == ToolOutcome(output="done", is_error=False)


async def test_a_compressed_401_still_needs_a_sign_in(hostile: tuple[HostileMCP, Address]) -> None:
    server, address = hostile
    server.compresses_refusal = True
    with pytest.raises(McpSignInNeeded):
        await call(address)


@pytest.mark.parametrize("pings", [True, False])
async def test_a_server_that_never_ends_the_session_is_left_in_time(
    hostile: tuple[HostileMCP, Address], settings: Any, pings: bool
) -> None:
    server, address = hostile
    settings.MCP_CALL_SECONDS = 0.5
    server.session, server.drips_on_delete, server.pings = b"s-1", True, pings
    begun = time.monotonic()
    with suppress(McpServerFailed):  # a result that came first counts
        await call(address)
    assert time.monotonic() - begun < 15  # the server drips for 20


async def test_a_server_cannot_make_us_reconnect_for_ever(
    hostile: tuple[HostileMCP, Address], settings: Any
) -> None:
    server, address = hostile
    server.makes_us_reconnect = True
    with pytest.raises(DomainError):
        await call(address)
    assert len(server.asked) < 250


async def test_no_stream_for_server_messages_is_opened(hostile: tuple[HostileMCP, Address]) -> None:
    server, address = hostile
    server.session = b"s-1"
    assert await call(address) == ToolOutcome(output="done", is_error=False)
    assert "GET" not in server.asked


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/list", {"tools": [{"name": "t", "inputSchema": {"type": "object"}}] * 60_000}),
        ("tools/call", {"content": [{"type": "text", "text": ""}] * 60_000}),
    ],
)
async def test_a_response_with_too_many_items_is_not_read(
    hostile: tuple[HostileMCP, Address], method: str, result: dict[str, Any]
) -> None:
    server, address = hostile
    server.results[method] = result
    with pytest.raises(UpstreamTooLarge):
        await call(address)


async def test_a_cancelled_call_raises_cancelled_error(hostile: tuple[HostileMCP, Address]) -> None:
    """Also if the result comes while the SDK ends its session, when it raises errors of its own."""
    server, address = hostile
    server.session, server.waits_for_cancel = b"s-1", True
    tasks = [asyncio.create_task(call(address)) for _ in range(30)]
    async with asyncio.timeout(20):
        while server.asked.count("tools/call") < len(tasks):
            await asyncio.sleep(0.01)
    server.is_cancelling = True
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert "DELETE" in server.asked


async def test_headers_may_contain_any_bytes(hostile: tuple[HostileMCP, Address]) -> None:
    server, address = hostile
    server.headers = [(b"x-city", "Zürich".encode()), (b"x-noise", b"\xff\xfe")]
    assert await call(address) == ToolOutcome(output="done", is_error=False)


async def test_the_number_of_tools_is_bounded(hostile: tuple[HostileMCP, Address]) -> None:
    server, address = hostile
    server.results["tools/list"] = {"tools": [{**TOOL, "name": f"t{number}"} for number in range(500)]}
    assert len(await list_tools(address)) == MOST_TOOLS


async def test_a_key_that_a_server_repeats_is_masked(hostile: tuple[HostileMCP, Address]) -> None:
    server, address = hostile
    server.errors["tools/list"] = {"code": -32000, "message": "No: sk-123 is no key of ours"}
    with pytest.raises(McpServerFailed, match=r"No: \*\*\* is no key"):
        await call(replace(address, headers={"Authorization": "Bearer sk-123"}))


async def test_a_servers_own_error_text_reaches_the_model(
    hostile: tuple[HostileMCP, Address],
) -> None:
    server, address = hostile
    server.session = b"s-1"
    server.errors["tools/call"] = {"code": -32602, "message": "Invalid arguments: q is missing\0"}
    with pytest.raises(McpServerFailed, match="returned an error: Invalid arguments: q is missing\ufffd"):
        await call(address)
