"""The tools that a turn offers its model, under names that every provider takes and no two tools share."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from gateway.providers.base import JsonObject
from workspaces.mcp_servers.queries import ServerRef, ToolRef

MARK = "_mcp_"  # between a tool's name and its server's, as LibreChat has it
LONGEST = 64  # signs of a function's name at OpenAI and Anthropic
UNFIT = re.compile(r"[^A-Za-z0-9_-]")
HASH_SIGNS = 8


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool of a server by the name that the model calls it."""

    wire_name: str
    server_id: UUID
    server: str
    tool: ToolRef

    @property
    def definition(self) -> JsonObject:
        """As OpenAI's chat completions take it."""
        told = {"name": self.wire_name, "description": self.tool.description[:1_024]}
        schema = {"type": "object", "properties": {}, **self.tool.input_schema}
        return {"type": "function", "function": {**told, "parameters": schema}}


def offer_tools(servers: Iterable[ServerRef]) -> tuple[OfferedTool, ...]:
    """All usable tools of the servers."""
    return tuple(
        OfferedTool(wire_name(tool.name, server.slug), server.id, server.slug, tool)
        for server in servers
        for tool in server.tools
    )


def wire_name(tool: str, server: str) -> str:
    """`<tool>_mcp_<server>`; what is too long, holds other signs or could stand for two ends in a hash."""
    whole = f"{tool}{MARK}{server}"
    plain = UNFIT.sub("_", whole)
    if plain == whole and len(whole) <= LONGEST and whole.count(MARK) == 1:
        return whole
    mark = hashlib.sha256(f"{tool}\n{server}".encode()).hexdigest()[:HASH_SIGNS]
    return f"{plain[: LONGEST - HASH_SIGNS - 1]}_{mark}"
