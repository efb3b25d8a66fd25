"""Looks at a server before it is installed: its tools, or where one signs in to see them."""

from dataclasses import dataclass

from asgiref.sync import async_to_sync

from workspaces.mcp_servers.client import list_tools
from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.inputs import ServerWish
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.discovery import discover
from workspaces.mcp_servers.oauth.metadata import Authorization


@dataclass(frozen=True, slots=True)
class Found:
    """What the server showed: its tools, or, where they are shown to nobody unknown, where one signs in."""

    tools: tuple[ToolDefinition, ...] = ()
    authorization: Authorization | None = None


def look_at(wish: ServerWish) -> Found:
    """Upstream, so without a connection to the database. DomainErrors of `list_tools` and `discover`."""
    if wish.auth == MCPServer.Auth.OAUTH:
        return Found(authorization=async_to_sync(discover)(wish.url, wish.transport))
    return Found(tools=tuple(async_to_sync(list_tools)(wish.address)))
