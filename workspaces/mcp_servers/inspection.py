"""Connects to a server before it is installed: for its tools, or for where to sign in to list them."""

from dataclasses import dataclass

from asgiref.sync import async_to_sync

from workspaces.mcp_servers.client import list_tools
from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.inputs import ServerInput
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.discovery import discover
from workspaces.mcp_servers.oauth.metadata import Authorization


@dataclass(frozen=True, slots=True)
class Found:
    """The server's tools; or, if listing them needs a sign-in, its authorization server."""

    tools: tuple[ToolDefinition, ...] = ()
    authorization: Authorization | None = None


def inspect_server(server: ServerInput) -> Found:
    """Calls the server, so hold no database connection. DomainErrors of `list_tools` and `discover`."""
    if server.auth == MCPServer.Auth.OAUTH:
        return Found(authorization=async_to_sync(discover)(server.url, server.transport))
    return Found(tools=tuple(async_to_sync(list_tools)(server.address)))
