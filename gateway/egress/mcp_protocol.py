"""The server side of MCP for engines: stateless, only tools, one JSON response per request. Pure.

Protocol: https://modelcontextprotocol.io/specification/2025-06-18 (streamable HTTP, JSON-RPC 2.0).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.engines.librechat.registrations import engine_name
from gateway.providers.base import JsonObject
from kit.errors import InvalidInput
from workspaces.mcp_servers.client import ToolOutcome
from workspaces.mcp_servers.queries import ToolRef

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # the latest first
INVALID_PARAMS, NO_METHOD = -32602, -32601
SERVER_INFO = {"name": "switchyard", "version": "1"}


@dataclass(frozen=True, slots=True)
class Message:
    """A request, or a notification, which has no id and gets no response."""

    method: str
    id: str | int | None = None
    params: JsonObject = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> "Message":
        """InvalidInput if it is not a JSON-RPC request."""
        method, number, params = body.get("method"), body.get("id"), body.get("params") or {}
        is_plain = isinstance(number, str | int) and not isinstance(number, bool)
        if not isinstance(method, str) or not (number is None or is_plain) or not isinstance(params, dict):
            raise InvalidInput(method=["Send one JSON-RPC request or notification."])
        return cls(method, number, params)

    def answer(self, result: JsonObject) -> JsonObject:
        return {"jsonrpc": "2.0", "id": self.id, "result": result}

    def refuse(self, code: int, text: str) -> JsonObject:
        return {"jsonrpc": "2.0", "id": self.id, "error": {"code": code, "message": text}}


def initialized(params: JsonObject) -> JsonObject:
    """The client's protocol version if we support it, else our latest."""
    wanted = params.get("protocolVersion")
    version = wanted if wanted in VERSIONS else VERSIONS[0]
    return {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": SERVER_INFO,
    }


def listed(tools: Iterable[ToolRef]) -> JsonObject:
    """The tools that the account may use, with the definitions that a manager accepted."""
    return {
        "tools": [
            {
                "name": engine_name(tool.name),
                "description": tool.description,
                "inputSchema": {"type": "object", **tool.input_schema},
            }
            for tool in tools
        ]
    }


def called(outcome: ToolOutcome) -> JsonObject:
    return {"content": [{"type": "text", "text": outcome.output}], "isError": outcome.is_error}
