"""The tools that a turn offers its model, under unique names that every provider accepts."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from gateway.providers.base import JsonObject
from workspaces.mcp_servers.queries import ServerRef, ToolRef

SEPARATOR = "_mcp_"  # between the tool's name and the server's, as in LibreChat
LONGEST = 64  # characters of a function name at OpenAI and Anthropic
INVALID = re.compile(r"[^A-Za-z0-9_-]")
DIGEST_LENGTH = 8


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A server's tool and the name by which the model calls it."""

    wire_name: str
    server_id: UUID
    server: str
    tool: ToolRef

    @property
    def definition(self) -> JsonObject:
        """In the format of OpenAI's chat completions."""
        named = {"name": self.wire_name, "description": self.tool.description[:1_024]}
        schema = {"type": "object", "properties": {}, **self.tool.input_schema}
        return {"type": "function", "function": {**named, "parameters": schema}}


def offer_tools(servers: Iterable[ServerRef]) -> tuple[OfferedTool, ...]:
    """All usable tools of the servers."""
    return tuple(
        OfferedTool(wire_name(tool.name, server.slug), server.id, server.slug, tool)
        for server in servers
        for tool in server.tools
    )


def wire_name(tool: str, server: str) -> str:
    """`<tool>_mcp_<server>`; ends in a hash if that is too long, ambiguous or has other characters."""
    whole = f"{tool}{SEPARATOR}{server}"
    valid = INVALID.sub("_", whole)
    if valid == whole and len(whole) <= LONGEST and whole.count(SEPARATOR) == 1:
        return whole
    digest = hashlib.sha256(f"{tool}\n{server}".encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{valid[: LONGEST - DIGEST_LENGTH - 1]}_{digest}"
