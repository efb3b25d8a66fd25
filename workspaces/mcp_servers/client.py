"""Speaks with MCP servers, by the official SDK over the guarded client: what they offer, and one call of it.

Protocol: https://modelcontextprotocol.io/specification. Only HTTP: a tenant's stdio server would be code
execution.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from django.conf import settings
from mcp import types
from mcp.client.auth import utils as protocol
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from kit.errors import DomainError
from kit.outbound_sdk import GuardedSDKTransport, guarded_client
from workspaces.errors import McpServerFailed, McpSignInNeeded, ToolChanged
from workspaces.mcp_servers.definitions import (
    MOST_TOOLS,
    ToolDefinition,
    count_patterns,
    read_definition,
)
from workspaces.mcp_servers.oauth.metadata import is_scope
from workspaces.mcp_servers.urls import secrets_in

T = TypeVar("T")
MOST_PAGES = 20  # of a list of tools
MOST_PATTERNS = 300  # in the schemas of one server: each takes a millisecond to compile
US = types.Implementation(name="Switchyard", version="1")
MOST_PARTS = 1_000  # of a result
LONGEST_REFUSAL = 1_000  # characters of a server's own words
STAND_INS = re.compile(  # what the SDK says in a server's place
    "Server returned an error response|Not Found|Session terminated|Failed to parse|Unexpected content type"
    "|SSE stream|server answered a request with|Redirect to|Connection closed"
)
CUT = "\n[The rest was cut off: the result is longer than {most} characters.]"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached and what it is shown; both may hold secrets."""

    url: str = field(repr=False)
    transport: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def without_secrets(self, text: str) -> str:
        """What a server says may repeat the key that it was shown."""
        shown = [part for value in self.headers.values() for part in (value, value.rpartition(" ")[2])]
        for secret in (*shown, *secrets_in(self.url)):
            text = text.replace(secret, "***") if secret else text
        return text


class Session(ClientSession):
    """The SDK's, but for what it would make of an output schema: that is the server's to keep to. To check
    it here would run the server's patterns in our process, and lose results of tools that did run."""

    async def validate_tool_result(self, name: str, result: types.CallToolResult) -> None:
        """Nothing is checked."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a tool answered, as text for the model."""

    output: str
    is_error: bool


async def list_tools(address: Address) -> list[ToolDefinition]:
    """All that the server offers. McpServerFailed, McpSignInNeeded, AddressRefused, UpstreamTooLarge."""
    return await _with_session(address, _transport(address, settings.MCP_CONNECT_SECONDS), _read_tools)


async def call_tool(
    address: Address, *, name: str, arguments: dict[str, Any], expected_hash: str
) -> ToolOutcome:
    """One call. ToolChanged for a tool that is no longer what was accepted: then nothing is called."""
    transport, is_asked = _transport(address, settings.MCP_CALL_SECONDS), False

    async def work(session: ClientSession) -> ToolOutcome:
        nonlocal is_asked
        offered = {tool.name: tool for tool in await _read_tools(session, only=name)}
        if name not in offered or offered[name].hash != expected_hash:
            raise ToolChanged
        is_asked = True
        answer = await session.call_tool(name, arguments)
        return ToolOutcome(output=_text_of(answer), is_error=bool(answer.is_error))

    try:
        return await _with_session(address, transport, work)
    except McpSignInNeeded as refusal:
        refusal.did_no_work = refusal.did_no_work and (not is_asked or _is_call(transport.refused_body))
        raise


def _is_call(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["method"] == "tools/call")
    except (ValueError, TypeError, KeyError):
        return False


def _transport(address: Address, seconds: float) -> GuardedSDKTransport:
    return GuardedSDKTransport(
        most_bytes=settings.MCP_MAX_ANSWER_BYTES, seconds=seconds, listens=address.transport == "sse"
    )


async def _with_session(
    address: Address, transport: GuardedSDKTransport, work: Callable[[ClientSession], Awaitable[T]]
) -> T:
    try:
        async with (
            asyncio.timeout(transport.seconds),
            _not_losing_cancellations(),
            _session(address, transport) as session,
        ):
            await session.initialize()
            return await work(session)
    except TimeoutError as exc:
        text = f"The MCP server did not respond within {transport.seconds:g} seconds."
        raise McpServerFailed(text) from exc
    except Exception as exc:
        raise _reason(exc, address, transport) from exc


@asynccontextmanager
async def _not_losing_cancellations() -> AsyncGenerator[None, None]:
    """The SDK says goodbye when it is cancelled, and raises its own errors instead where that fails."""
    here = asyncio.current_task()
    before = here.cancelling() if here else 0
    try:
        yield
    except Exception as exc:
        if here and here.cancelling() > before:
            raise asyncio.CancelledError from exc
        raise


@asynccontextmanager
async def _session(address: Address, transport: GuardedSDKTransport) -> AsyncGenerator[ClientSession, None]:
    if address.transport == "sse":

        def factory(headers: dict[str, str] | None = None, timeout: Any = None, auth: Any = None) -> Any:
            return guarded_client(transport, headers)

        streams: Any = sse_client(address.url, headers=address.headers, httpx_client_factory=factory)
        async with streams as (read, write), Session(read, write, client_info=US) as session:
            yield session
        return
    async with (
        guarded_client(transport, address.headers) as client,
        streamable_http_client(
            address.url, http_client=client, max_sse_event_size=settings.MCP_MAX_ANSWER_BYTES
        ) as streams,
        Session(streams[0], streams[1], client_info=US) as session,
    ):
        yield session


def _reason(error: BaseException, address: Address, transport: GuardedSDKTransport) -> DomainError:
    """What went wrong in our words; the SDK buries it in groups of its own errors."""
    if transport.refusal is not None:
        return transport.refusal
    found = _first(error, DomainError)
    if isinstance(found, DomainError):
        return found
    if transport.status in {401, 403}:
        wanted = McpSignInNeeded("The MCP server needs a sign-in or another key.", status=transport.status)
        wanted.did_no_work = transport.status == 401
        wanted.wanted_scope = _wanted_scope(transport)
        return wanted
    known = {"status": transport.status} if transport.status else {}
    return McpServerFailed(_words_for(error, address, transport), **known)


def _wanted_scope(transport: GuardedSDKTransport) -> str:
    """What somebody has to be granted beside, as RFC 6750 tells it in 3.1; empty: nothing is known."""
    challenge = transport.challenge.encode("ascii", "ignore")
    told = httpx2.Response(transport.status, headers={b"www-authenticate": challenge})
    if protocol.extract_field_from_www_auth(told, "error") != "insufficient_scope":
        return ""
    scope = protocol.extract_scope_from_www_auth(told) or ""
    return scope if is_scope(scope) else ""


def _words_for(error: BaseException, address: Address, transport: GuardedSDKTransport) -> str:
    said = _first(error, MCPError)
    if isinstance(said, MCPError) and said.message and not STAND_INS.match(said.message):
        words = address.without_secrets(_sound(said.message))[:LONGEST_REFUSAL]
        return f"The MCP server returned an error: {words}"
    if transport.status:
        return f"The MCP server responded with status {transport.status}."
    if transport.is_broken:
        return "The MCP server cannot be reached."
    return "The MCP server sent an invalid response."


def _first(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    if isinstance(error, kind):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _first(inner, kind))), None)
    return None


async def _read_tools(session: ClientSession, *, only: str = "") -> list[ToolDefinition]:
    """All tools, or the one that is to be called, up to its page."""
    found: dict[str, ToolDefinition] = {}
    cursor: str | None = None
    patterns = 0
    for _ in range(MOST_PAGES):
        params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await session.list_tools(params=params)
        for tool in page.tools:
            if tool.name in found or (only and tool.name != only):
                continue
            patterns += count_patterns(tool.input_schema)
            read = read_definition(
                name=tool.name,
                description=tool.description,
                input_schema=tool.input_schema if patterns <= MOST_PATTERNS else None,
                annotations=tool.annotations.model_dump(by_alias=True, exclude_none=True)
                if tool.annotations
                else {},
            )
            if read is not None:
                found[read.name] = read
            await asyncio.sleep(0)  # each may take some milliseconds, and others are waiting
            if len(found) == (1 if only else MOST_TOOLS):
                return list(found.values())
        cursor = page.next_cursor
        if not cursor:
            break
    return list(found.values())


def _text_of(answer: Any) -> str:
    """Texts as they are; of images, sounds and files only that they came; cut at the bound."""
    parts = [_part_of(part) for part in answer.content[:MOST_PARTS]]
    text = "\n".join(part for part in parts if part)
    if not text and answer.structured_content is not None:
        text = json.dumps(answer.structured_content, ensure_ascii=False)
    most = settings.MCP_MAX_RESULT_CHARACTERS
    return _sound(text if len(text) <= most else text[:most] + CUT.format(most=most))


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _part_of(part: Any) -> str:
    match part:
        case types.TextContent():
            return str(part.text)
        case types.ImageContent() | types.AudioContent():
            return f"[{part.mime_type}, not shown]"
        case types.ResourceLink():
            return f"[{part.name}: {part.uri}]"
        case types.EmbeddedResource() if isinstance(part.resource, types.TextResourceContents):
            return str(part.resource.text)
        case _:
            return "[a file, not shown]"
