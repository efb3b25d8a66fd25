"""The workspace's MCP tools in a request for one model call: `{"type": "mcp", "server_label": "<slug>"}`.

The form is that of OpenAI's Responses (https://platform.openai.com/docs/guides/tools-connectors-mcp).
Address, headers and approval are the workspace's: a request only chooses among the tools it allows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.providers.base import JsonObject
from kit.errors import InvalidInput
from workspaces.mcp_servers.queries import ServerRef

KIND = "mcp"
# `require_approval` is accepted, since OpenAI's clients always send it; the workspace's rules decide.
FIELDS = {"type", "server_label", "allowed_tools", "require_approval", "server_description"}
MOST_SERVERS = 50
OURS = (
    "This server's address and credentials are the workspace's. Send only server_label, the server's name "
    "in the workspace."
)


@dataclass(frozen=True, slots=True)
class ChosenServer:
    """A server that the request names; `tools` None: all of its usable tools."""

    slug: str
    tools: tuple[str, ...] | None = None


def split_tools(tools: Sequence[JsonObject]) -> tuple[list[JsonObject], tuple[ChosenServer, ...]]:
    """The client's own tools, and the servers whose tools it asks for. InvalidInput names a wrong field."""
    own = [tool for tool in tools if tool.get("type") != KIND]
    chosen: dict[str, ChosenServer] = {}
    for at, tool in enumerate(tools):
        if tool.get("type") == KIND:
            server = _chosen(at, tool)
            if server.slug in chosen:
                problem = f"{server.slug} is in this list twice. Name all its tools in one entry."
                raise InvalidInput(**{f"tools[{at}].server_label": [problem]})
            chosen[server.slug] = server
    if len(chosen) > MOST_SERVERS:
        raise InvalidInput(tools=[f"Too many servers: {len(chosen)}. Send at most {MOST_SERVERS}."])
    return own, tuple(chosen.values())


def _chosen(at: int, tool: JsonObject) -> ChosenServer:
    if unknown := sorted(tool.keys() - FIELDS):
        raise InvalidInput(**{f"tools[{at}].{unknown[0]}": [OURS]})
    slug = tool.get("server_label")
    if not isinstance(slug, str) or not slug:
        raise InvalidInput(**{f"tools[{at}].server_label": ["Send the server's name in the workspace."]})
    return ChosenServer(slug, _allowed(at, tool.get("allowed_tools")))


def _allowed(at: int, allowed: Any) -> tuple[str, ...] | None:
    """A list of names, or OpenAI's filter with `tool_names`."""
    names = allowed.get("tool_names") if isinstance(allowed, Mapping) else allowed
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(**{f"tools[{at}].allowed_tools": ["Send a list of the tools' names."]})
    return tuple(names)


def narrowed(servers: Iterable[ServerRef], chosen: Iterable[ChosenServer]) -> tuple[ServerRef, ...]:
    """The servers with only the tools that were asked for. InvalidInput for a tool that is not there."""
    wanted = {one.slug: one.tools for one in chosen}
    return tuple(_narrowed(server, wanted.get(server.slug)) for server in servers)


def _narrowed(server: ServerRef, names: tuple[str, ...] | None) -> ServerRef:
    if names is None:
        return server
    known = {tool.name for tool in server.tools}
    if missing := [name for name in names if name not in known]:
        raise InvalidInput(tools=[f"{server.slug} has no tool {missing[0]!r} that is allowed here."])
    return replace(server, tools=tuple(tool for tool in server.tools if tool.name in names))
