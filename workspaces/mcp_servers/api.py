"""REST for MCP servers: install, refresh, change, remove, sign in; and the rules for their tools."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.policy import Action, may
from kit.inputs import read_body, serializer_of
from workspaces.mcp_servers import queries, services, tool_rules
from workspaces.mcp_servers.gallery import read_gallery
from workspaces.mcp_servers.inputs import ServerChange, ServerInput, ToolChange, ToolsChange
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.token_store import missing_sign_ins
from workspaces.mcp_servers.serializers import (
    GallerySerializer,
    ListedServerSerializer,
    ServerSerializer,
    ServersSerializer,
    SignInAddressSerializer,
    ToolSerializer,
)


class McpView(WorkspaceView):
    """What the routes of MCP servers share."""

    def answer(self, row: MCPServer, status: int = 200) -> Response:
        missing = missing_sign_ins([row], self.principal.user_id)
        context = {"is_manager": self.is_manager, "missing": missing}
        return Response(ServerSerializer(row, context=context).data, status=status)

    @property
    def is_manager(self) -> bool:
        return may(self.principal, Action.MCPS_CHANGE)


class ServersView(McpView):
    policy: ClassVar = {"GET": Action.MCPS_VIEW, "POST": Action.MCPS_CHANGE}

    @extend_schema(operation_id="mcp_servers", tags=["mcps"], responses=ServersSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the MCP servers that you may use, by slug, at most 50; managers see all of them.
        Request a single server to get its tools."""
        listed = {one.row.id: one for one in queries.listed_servers(self.principal)}
        missing = {id_ for id_, one in listed.items() if one.needs_sign_in}
        context = {"is_manager": self.is_manager, "missing": missing, "listed": listed}
        rows = [one.row for one in listed.values()]
        return Response({"data": ListedServerSerializer(rows, many=True, context=context).data})

    @extend_schema(
        operation_id="install_mcp_server",
        tags=["mcps"],
        request=serializer_of(ServerInput),
        responses={201: ServerSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Connects to a server, lists its tools and installs it. A server that does not answer is not stored.
        A server that needs a sign-in has no tools until the first one."""
        server = read_body(ServerInput, request.data)
        return self.answer(services.install_server(principal=self.principal, server=server), 201)


class ServerView(McpView):
    policy: ClassVar = {
        "GET": Action.MCPS_VIEW,
        "PATCH": Action.MCPS_CHANGE,
        "DELETE": Action.MCPS_CHANGE,
    }

    @extend_schema(operation_id="mcp_server", tags=["mcps"], responses=ServerSerializer)
    def get(self, request: Request, workspace: str, server: str) -> Response:
        """Returns a server, by slug or id."""
        return self.answer(queries.find_server(principal=self.principal, slug=server))

    @extend_schema(
        operation_id="change_mcp_server",
        tags=["mcps"],
        request=serializer_of(ServerChange),
        responses=ServerSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str) -> Response:
        """Changes the name, the URL (same host) or the key, or enables or disables the server."""
        change = read_body(ServerChange, request.data)
        return self.answer(services.change_server(principal=self.principal, slug=server, change=change))

    @extend_schema(operation_id="remove_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """Deletes a server and its key permanently; its slug can be used again."""
        services.remove_server(principal=self.principal, slug=server)
        return Response(status=204)


class ServerRefreshView(McpView):
    policy: ClassVar = {"POST": Action.MCPS_CHANGE}

    @extend_schema(operation_id="refresh_mcp_server", tags=["mcps"], request=None, responses=ServerSerializer)
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Refreshes the server's tools; changes wait to be accepted."""
        services.refresh_server(principal=self.principal, slug=server)
        return self.answer(queries.find_server(principal=self.principal, slug=server))


class ServerSignInView(McpView):
    # The service requires more if the sign-in is the workspace's, which only the server's row says.
    policy: ClassVar = {"POST": Action.MCPS_SIGN_IN, "DELETE": Action.MCPS_SIGN_IN}

    @extend_schema(
        operation_id="sign_in_at_mcp_server",
        tags=["mcps"],
        request=None,
        responses=SignInAddressSerializer,
    )
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Starts a sign-in at the server: for the workspace if you manage it, or for yourself."""
        url = services.begin_sign_in(principal=self.principal, slug=server)
        return Response({"authorization_url": url})

    @extend_schema(operation_id="sign_out_of_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """Deletes the sign-in, and asks the server to end it."""
        services.sign_out(principal=self.principal, slug=server)
        return Response(status=204)


class ToolsView(McpView):
    policy: ClassVar = {"PATCH": Action.MCPS_CHANGE}

    @extend_schema(
        operation_id="change_mcp_tools",
        tags=["mcps"],
        request=serializer_of(ToolsChange),
        responses=ServerSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str) -> Response:
        """Allows, denies or requires approval for several tools; changes all of them or none."""
        sent = read_body(ToolsChange, request.data)
        row = queries.find_server(principal=self.principal, slug=server)
        names = sent.tools or [tool.name for tool in row.tools.all()]
        change = ToolChange(allowed=sent.allowed, needs_approval=sent.needs_approval)
        tool_rules.change_tools(principal=self.principal, slug=server, changes=dict.fromkeys(names, change))
        return self.answer(row)


class ToolView(McpView):
    policy: ClassVar = {"PATCH": Action.MCPS_CHANGE}

    @extend_schema(
        operation_id="change_mcp_tool",
        tags=["mcps"],
        request=serializer_of(ToolChange),
        responses=ToolSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str, tool: str) -> Response:
        """Allows or denies a tool, restricts its arguments, requires approval or accepts its changes."""
        change = read_body(ToolChange, request.data)
        if change.accept is not None:
            tool_rules.accept_tool(principal=self.principal, slug=server, tool=tool, shown_hash=change.accept)
        row = tool_rules.change_tool(principal=self.principal, slug=server, tool=tool, change=change)
        return Response(ToolSerializer(row).data)


class GalleryView(PolicyView):
    policy: ClassVar = {"GET": Action.MCPS_VIEW}

    @extend_schema(operation_id="mcp_gallery", tags=["mcps"], responses=GallerySerializer)
    def get(self, request: Request) -> Response:
        """Lists well-known MCP servers and what installing each of them needs."""
        return Response(GallerySerializer({"data": read_gallery()}).data)
