"""The MCP servers that accounts have registered: probed and inspected like in LibreChat, then called.

In the recorded order: probes for a sign-in without headers, then with the header `initialize`, `ping` and
`tools/list` twice; each call has its own session.
"""

import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jsonschema_rs
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from gateway.tests.replayed_librechat.accounts import Account
from gateway.tests.replayed_librechat.answers import Json, Send, answer_json
from gateway.tests.replayed_librechat.knobs import Knobs
from gateway.tests.replayed_librechat.request import Request

SEPARATOR = "_mcp_"
TOOL_SECONDS = 60.0  # LibreChat's own limit for a tool
FAILED = "MCP_INSPECTION_FAILED"
REFUSED_INPUT = "Error: Received tool input did not match expected schema"  # before the tool is called
TITLE_RULE = "Title can only contain letters, numbers, and spaces"
TITLE, HYPHENATED = re.compile(r"[a-zA-Z0-9 ]+"), re.compile(r"[a-zA-Z0-9 -]+")


@dataclass
class Server:
    """A server that an account registered; `tools` are those of the last inspection."""

    name: str
    config: Json
    tools: list[Any] = field(default_factory=list)


class Servers:
    """The servers of every account, by name."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.by_account: dict[str, dict[str, Server]] = {}

    async def answer(self, request: Request, account: Account, send: Send) -> bool:
        """False if the request is for another route."""
        mine = self.by_account.setdefault(account.id, {})
        match request.route:
            case ("POST", "api", "mcp", "servers"):
                config = request.body["config"]
                name = self._free(name_of(str(config.get("title") or "")))
                await self._register(Server(name, config), mine, 201, send)
            case ("GET", "api", "mcp", "servers"):
                await answer_json(send, 200, {name: _as_json(server) for name, server in mine.items()})
            case ("PATCH", "api", "mcp", "servers", name):
                if name not in mine:
                    await answer_json(send, 404, {"message": "MCP server not found"})
                else:
                    await self._register(Server(name, request.body["config"]), mine, 200, send)
            case ("DELETE", "api", "mcp", "servers", name):
                found = mine.pop(name, None)
                text = "MCP server deleted successfully" if found else "MCP server not found"
                await answer_json(send, 200 if found else 404, {"message": text})
            case _:
                return False
        return True

    def offered(self, account_id: str, named: list[str]) -> list[Json]:
        """The tools of these servers in the format of a model call."""
        mine = self.by_account.get(account_id, {})
        return [
            {
                "type": "function",
                "function": {
                    "name": f"{tool.name}{SEPARATOR}{name}",
                    "description": tool.description,
                    "parameters": tool.input_schema,
                },
            }
            for name in named
            if name in mine
            for tool in mine[name].tools
        ]

    def has(self, account_id: str, wire_name: str) -> bool:
        return wire_name.rpartition(SEPARATOR)[2] in self.by_account.get(account_id, {})

    async def call(self, account_id: str, wire_name: str, arguments: Any) -> str:
        """The tool's result; a failure is a result too."""
        tool, _, name = wire_name.rpartition(SEPARATOR)
        schema = next(
            (known.input_schema for known in self.by_account[account_id][name].tools if known.name == tool),
            {},
        )
        if not jsonschema_rs.is_valid(schema, arguments):
            return REFUSED_INPUT
        try:
            async with _session(self.by_account[account_id][name].config) as session:
                result = await session.call_tool(tool, arguments, read_timeout_seconds=TOOL_SECONDS)
        except Exception as exc:
            return f"Error: {type(exc).__name__}"
        return "\n\n".join(part.text for part in result.content if part.type == "text")

    def _free(self, name: str) -> str:
        """Names are unique in the whole of LibreChat, not in an account."""
        taken = {known for mine in self.by_account.values() for known in mine}
        number = 1
        while (free := name if number == 1 else f"{name}-{number}") in taken:
            number += 1
        return free

    async def _register(self, server: Server, mine: dict[str, Server], status: int, send: Send) -> None:
        pattern = HYPHENATED if self.knobs.takes_hyphens else TITLE
        if not pattern.fullmatch(server.config.get("title", "")):
            await answer_json(send, 400, refused_title(server.config.get("title")))
            return
        if self.knobs.refuses_servers:
            text = "Domain is not allowed"
            await answer_json(send, 403, {"error": "MCP_DOMAIN_NOT_ALLOWED", "message": text})
            return
        try:
            await _probe(server.config["url"])
            server.tools = await _inspect(server.config)
        except Exception:
            text = f'Failed to connect to MCP server "temp_server_{uuid.uuid4()}"'
            await answer_json(send, 400, {"error": FAILED, "message": text})
            return
        mine[server.name] = server
        await answer_json(send, status, _as_json(server))


async def _probe(url: str) -> None:
    """Looks for a sign-in without the header: only a 401 would mean that there is one."""
    host = urlsplit(url)
    async with httpx2.AsyncClient(trust_env=False) as client:
        answers = [
            await client.request("HEAD", url),
            await client.post(url, content=b""),
            await client.get(
                f"{host.scheme}://{host.netloc}/.well-known/oauth-protected-resource{host.path}"
            ),
            await client.get(f"{host.scheme}://{host.netloc}/.well-known/oauth-protected-resource"),
        ]
    assert all(answer.status_code in {404, 405} for answer in answers), answers


async def _inspect(config: Json) -> list[Any]:
    async with _session(config) as session:
        await session.send_ping()
        await session.list_tools()
        return list((await session.list_tools()).tools)


@asynccontextmanager
async def _session(config: Json) -> AsyncGenerator[ClientSession, None]:
    async with (
        httpx2.AsyncClient(headers=config.get("headers"), trust_env=False, timeout=TOOL_SECONDS) as client,
        streamable_http_client(config["url"], http_client=client) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        yield session


def _as_json(server: Server) -> Json:
    shown = {key: value for key, value in server.config.items() if key != "headers"}
    tools = ", ".join(tool.name for tool in server.tools)
    return {"serverName": server.name, **shown, "requiresOAuth": False, "tools": tools, "source": "user"}


def name_of(title: str) -> str:
    """LibreChat's name for the server: `everything-f2052e` for `everything f2052e`."""
    plain = re.sub(r"[^a-z0-9\s-]", "", title.lower().strip())
    return re.sub(r"-+", "-", re.sub(r"\s+", "-", plain)).strip("-") or "mcp-server"


def refused_title(title: object) -> Json:
    problem = {
        "validation": "regex",
        "code": "invalid_string",
        "message": TITLE_RULE,
        "path": ["title"],
    }
    return {"message": "Invalid configuration", "errors": [problem]}
