"""What MCP servers declare as a kind."""

from workspaces.kind import Kind, RailEntry, Table
from workspaces.mcp_servers import routes
from workspaces.mcp_servers.admin import MCPServerAdmin, MCPSignInAdmin, ToolAdmin
from workspaces.mcp_servers.models import MCPServer, MCPSignIn, PendingSignIn, Tool
from workspaces.mcp_servers.oauth.token_store import forget_member

OF_SERVER = "server__workspace_id"

KIND = Kind(
    name="mcps",
    rail=RailEntry(label="Tools", icon="tool", position=30, url_name="mcp_servers"),
    api=routes.api,
    pages=routes.pages,
    site=routes.site,
    tables=(
        Table(Tool, workspace=OF_SERVER),
        Table(MCPSignIn, workspace=OF_SERVER, sealed=("sealed_access", "sealed_refresh")),
        Table(PendingSignIn, workspace=OF_SERVER, sealed=("sealed_verifier",)),
        Table(MCPServer, sealed=("sealed_header", "sealed_client", "sealed_url")),
    ),
    admin={MCPServer: MCPServerAdmin, Tool: ToolAdmin, MCPSignIn: MCPSignInAdmin},
    secrets="MCP servers' secrets",
    forget_member=forget_member,
)
