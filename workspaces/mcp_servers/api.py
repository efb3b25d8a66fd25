"""REST for MCP servers: install, look again, change, remove; and what each of their tools may do."""

from typing import ClassVar

from asgiref.sync import async_to_sync
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.policy import Action, may
from accounts.sign_in.api import checked
from kit.tenancy import tenant_scope
from workspaces.mcp_servers import queries, services, tool_rules
from workspaces.mcp_servers.gallery import read_gallery
from workspaces.mcp_servers.health import look_again
from workspaces.mcp_servers.inputs import ServerWish
from workspaces.mcp_servers.inspection import look_at
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.flow import begin_sign_in, forget_sign_in
from workspaces.mcp_servers.oauth.token_store import missing_sign_ins
from workspaces.mcp_servers.serializers import (
    GallerySerializer,
    ListedServerSerializer,
    ServerChangeSerializer,
    ServerSerializer,
    ServersSerializer,
    ServerWishSerializer,
    SignInAddressSerializer,
    ToolChangeSerializer,
    ToolsChangeSerializer,
    ToolSerializer,
)


class McpView(WorkspaceView):
    """What the routes of MCP servers share."""

    def answer(self, row: MCPServer, status: int = 200) -> Response:
        seen = {"changes": self.changes, "missing": missing_sign_ins([row], self.place.user_id)}
        return Response(ServerSerializer(row, context=seen).data, status=status)

    @property
    def changes(self) -> bool:
        return may(self.place, Action.MCPS_CHANGE)


class ServersView(McpView):
    policy: ClassVar = {"GET": Action.MCPS_VIEW, "POST": Action.MCPS_CHANGE}

    @extend_schema(operation_id="mcp_servers", tags=["mcps"], responses=ServersSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the MCP servers that you may use, by slug, at most 50; managers see all of them.
        Request a single server to get its tools."""
        listed = {one.row.id: one for one in queries.listed_servers(self.place)}
        missing = {id_ for id_, one in listed.items() if one.needs_sign_in}
        seen = {"changes": self.changes, "missing": missing, "listed": listed}
        rows = [one.row for one in listed.values()]
        return Response({"data": ListedServerSerializer(rows, many=True, context=seen).data})

    @extend_schema(
        operation_id="install_mcp_server",
        tags=["mcps"],
        request=ServerWishSerializer,
        responses={201: ServerSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Connects to a server, lists its tools and installs it. A server that does not answer is not stored.
        A server that needs a sign-in has no tools until the first one."""
        sent = checked(ServerWishSerializer, request)
        wish = ServerWish(**{**sent, "name": sent["name"] or sent["slug"]})
        wish.check()
        self.leave_tenant()  # the server is asked without holding a connection
        found = look_at(wish)
        with tenant_scope(self.place.tenant):
            row = services.install_server(principal=self.place, wish=wish, found=found)
            return self.answer(row, 201)


class ServerView(McpView):
    policy: ClassVar = {
        "GET": Action.MCPS_VIEW,
        "PATCH": Action.MCPS_CHANGE,
        "DELETE": Action.MCPS_CHANGE,
    }

    @extend_schema(operation_id="mcp_server", tags=["mcps"], responses=ServerSerializer)
    def get(self, request: Request, workspace: str, server: str) -> Response:
        """Returns a server, by slug or id."""
        return self.answer(queries.find_server(place=self.place, slug=server))

    @extend_schema(
        operation_id="change_mcp_server",
        tags=["mcps"],
        request=ServerChangeSerializer,
        responses=ServerSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str) -> Response:
        """Changes the name, the URL (same host) or the key, or enables or disables the server."""
        sent = checked(ServerChangeSerializer, request)
        return self.answer(services.change_server(principal=self.place, slug=server, **sent))

    @extend_schema(operation_id="remove_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """Deletes a server and its key permanently; its slug is never reused."""
        services.remove_server(principal=self.place, slug=server)
        return Response(status=204)


class ServerRefreshView(McpView):
    policy: ClassVar = {"POST": Action.MCPS_CHANGE}

    @extend_schema(operation_id="refresh_mcp_server", tags=["mcps"], request=None, responses=ServerSerializer)
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Refreshes the server's tools; changes wait to be accepted."""
        row = queries.find_server(place=self.place, slug=server)
        self.leave_tenant()
        async_to_sync(look_again)(principal=self.place, server_id=row.id)
        with tenant_scope(self.place.tenant):
            return self.answer(queries.find_server(place=self.place, slug=row.slug))


class ServerSignInView(McpView):
    # The service asks for more where the sign-in is the workspace's, which the server's row says.
    policy: ClassVar = {"POST": Action.MCPS_SIGN_IN, "DELETE": Action.MCPS_SIGN_IN}

    @extend_schema(
        operation_id="sign_in_at_mcp_server",
        tags=["mcps"],
        request=None,
        responses=SignInAddressSerializer,
    )
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Starts a sign-in at the server: for the workspace if you manage it, or for yourself."""
        self.leave_tenant()
        address = async_to_sync(begin_sign_in)(principal=self.place, slug=server)
        return Response({"authorization_url": address})

    @extend_schema(operation_id="sign_out_of_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """Deletes the sign-in, and asks the server to end it."""
        self.leave_tenant()
        async_to_sync(forget_sign_in)(principal=self.place, slug=server)
        return Response(status=204)


class ToolsView(McpView):
    policy: ClassVar = {"PATCH": Action.MCPS_CHANGE}

    @extend_schema(
        operation_id="change_mcp_tools",
        tags=["mcps"],
        request=ToolsChangeSerializer,
        responses=ServerSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str) -> Response:
        """Allows, denies or requires approval for several tools; changes all of them or none."""
        wish = checked(ToolsChangeSerializer, request)
        row = queries.find_server(place=self.place, slug=server)
        named = wish.pop("tools", None) or [tool.name for tool in row.tools.all()]
        tool_rules.change_tools(principal=self.place, slug=server, wishes=dict.fromkeys(named, wish))
        return self.answer(row)


class ToolView(McpView):
    policy: ClassVar = {"PATCH": Action.MCPS_CHANGE}

    @extend_schema(
        operation_id="change_mcp_tool", tags=["mcps"], request=ToolChangeSerializer, responses=ToolSerializer
    )
    def patch(self, request: Request, workspace: str, server: str, tool: str) -> Response:
        """Allows or denies a tool, restricts its arguments, requires approval or accepts its changes."""
        sent = checked(ToolChangeSerializer, request)
        shown_hash = sent.pop("accept", None)
        if shown_hash is not None:
            tool_rules.accept_tool(principal=self.place, slug=server, tool=tool, shown_hash=shown_hash)
        row = tool_rules.change_tool(principal=self.place, slug=server, tool=tool, **sent)
        return Response(ToolSerializer(row).data)


class GalleryView(PolicyView):
    policy: ClassVar = {"GET": Action.MCPS_VIEW}

    @extend_schema(operation_id="mcp_gallery", tags=["mcps"], responses=GallerySerializer)
    def get(self, request: Request) -> Response:
        """Lists well-known MCP servers and what installing each of them needs."""
        return Response(GallerySerializer({"data": read_gallery()}).data)
