"""REST for MCP servers: install, look again, change, remove; and what each of their tools may do."""

from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import checked
from accounts.policy import Action, may
from accounts.rest.shapes import NameField
from accounts.rest.views import PolicyView, WorkspaceView
from kit.tenancy import tenant_scope
from workspaces.mcp_servers import services, tools
from workspaces.mcp_servers.definitions import MOST_TOOLS, hash_of
from workspaces.mcp_servers.gallery import read_gallery
from workspaces.mcp_servers.grants import missing_sign_ins
from workspaces.mcp_servers.health import look_again
from workspaces.mcp_servers.installing import look_at
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.sign_ins import begin_sign_in, forget_sign_in
from workspaces.mcp_servers.wishes import ServerWish


class ToolSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField(source="definition.description")
    input_schema = serializers.DictField(source="definition.input_schema")
    annotations = serializers.DictField(source="definition.annotations")
    only_reads = serializers.BooleanField(help_text="So its server says")
    usable = serializers.BooleanField(source="is_usable")
    allowed = serializers.BooleanField(source="is_allowed")
    new = serializers.BooleanField(
        source="is_new", help_text="Came after the others: it is denied until somebody allows it"
    )
    needs_approval = serializers.BooleanField()
    argument_schema = serializers.DictField(allow_null=True, help_text="What the arguments have to fit")
    problem = serializers.CharField(help_text="Why it cannot be used at all; empty: nothing is wrong")
    gone = serializers.BooleanField(source="is_gone", help_text="The server offers it no longer")
    offered = serializers.DictField(
        allow_null=True, help_text="Its changed definition, until somebody accepts it by `offered_hash`"
    )
    offered_hash = serializers.SerializerMethodField()

    def get_offered_hash(self, tool: Tool) -> str | None:
        return hash_of(tool.offered) if tool.offered is not None else None


class BareServerSerializer(serializers.Serializer[Any]):
    """For whoever may not change it: without its address."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    enabled = serializers.BooleanField()
    transport = serializers.CharField()
    auth = serializers.CharField()
    url = serializers.SerializerMethodField()
    has_key_in_url = serializers.SerializerMethodField()
    header_name = serializers.CharField()
    has_header = serializers.SerializerMethodField()
    sign_in = serializers.CharField(help_text="Who signs in where `auth` is oauth: `workspace` or `member`")
    needs_sign_in = serializers.SerializerMethodField()
    problem = serializers.CharField(help_text="Why the last look at it failed; empty: it answered")
    checked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    @property
    def _changes(self) -> bool:
        return bool(self.context["changes"])

    def get_url(self, row: MCPServer) -> str | None:
        """Its address; what may be a key in it is never told."""
        return row.url if self._changes else None

    def get_has_key_in_url(self, row: MCPServer) -> bool:
        """Whether something in the address is hidden."""
        return bool(row.sealed_url)

    def get_has_header(self, row: MCPServer) -> bool:
        """Whether a key is kept; never the key."""
        return bool(row.sealed_header)

    def get_needs_sign_in(self, row: MCPServer) -> bool:
        """Whether somebody has to sign in before you can use it: you, or a manager, as `sign_in` says."""
        return row.id in self.context["missing"]


class ListedServerSerializer(BareServerSerializer):
    """Its tools are only counted: each has schemas of its own."""

    usable_tools = serializers.SerializerMethodField()
    waiting_tools = serializers.SerializerMethodField()

    def get_usable_tools(self, row: MCPServer) -> int:
        return int(self.context["listed"][row.id].usable)

    def get_waiting_tools(self, row: MCPServer) -> int:
        """That changed or are new, and that somebody has to look at."""
        return int(self.context["listed"][row.id].waiting)


class ServerSerializer(BareServerSerializer):
    """For whoever may not change it: only the tools that may be used."""

    tools = serializers.SerializerMethodField()

    @extend_schema(responses=ToolSerializer(many=True))
    def get_tools(self, row: MCPServer) -> list[dict[str, Any]]:
        shown = [tool for tool in row.tools.order_by("name") if self._changes or tool.is_usable]
        return list(ToolSerializer(shown, many=True).data)


class ServersSerializer(serializers.Serializer[Any]):
    data = ListedServerSerializer(many=True)  # type: ignore[assignment]  # a field called data


class ServerWishSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=60)
    name = NameField(required=False, default="")
    url = serializers.CharField(max_length=500, help_text="Keys that stand in it are kept encrypted")
    transport = serializers.ChoiceField(
        MCPServer.Transport.choices, required=False, default=MCPServer.Transport.STREAMABLE_HTTP.value
    )
    auth = serializers.ChoiceField(MCPServer.Auth.choices, required=False, default=MCPServer.Auth.NONE.value)
    header_name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    header_value = serializers.CharField(
        max_length=10_000, required=False, default="", allow_blank=True, write_only=True
    )
    sign_in = serializers.ChoiceField(
        MCPServer.SignIn.choices,
        required=False,
        help_text="Where `auth` is oauth: who signs in; `workspace` unless it says otherwise",
    )
    client_id = serializers.CharField(
        max_length=1_000,
        required=False,
        default="",
        allow_blank=True,
        help_text="Only for servers that register nobody by themselves",
    )
    client_secret = serializers.CharField(
        max_length=10_000, required=False, default="", allow_blank=True, write_only=True
    )
    enabled = serializers.BooleanField(required=False, default=True)


class ServerChangeSerializer(serializers.Serializer[Any]):
    name = NameField(required=False)
    enabled = serializers.BooleanField(required=False)
    url = serializers.CharField(
        max_length=500, required=False, help_text="At the same host, such as with a new key in it"
    )
    header_value = serializers.CharField(max_length=10_000, required=False, write_only=True)
    client_secret = serializers.CharField(max_length=10_000, required=False, write_only=True)


class ToolChangeSerializer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField(source="is_allowed", required=False)
    needs_approval = serializers.BooleanField(required=False)
    argument_schema = serializers.DictField(required=False, help_text="A JSON Schema; {} lifts it")
    accept = serializers.CharField(
        required=False, max_length=64, help_text="The `offered_hash` of the changed definition to accept"
    )


class ToolsChangeSerializer(serializers.Serializer[Any]):
    tools = serializers.ListField(
        child=serializers.CharField(max_length=128),
        min_length=1,
        max_length=MOST_TOOLS,
        required=False,
        help_text="Their names; none: all that the server has",
    )
    allowed = serializers.BooleanField(source="is_allowed", required=False)
    needs_approval = serializers.BooleanField(required=False)


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
        """The MCP servers of the workspace that you may use, by slug; for its managers all of them, at most
        50. The tools of one are told with it alone."""
        listed = {one.row.id: one for one in services.listed_servers(self.place)}
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
        """Connects, lists the tools and installs the server; nothing is kept of one that does not answer.
        One that wants a sign-in is kept without tools, which the first sign-in lists."""
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
        """One of them, by slug or id."""
        return self.answer(services.find_server(place=self.place, slug=server))

    @extend_schema(
        operation_id="change_mcp_server",
        tags=["mcps"],
        request=ServerChangeSerializer,
        responses=ServerSerializer,
    )
    def patch(self, request: Request, workspace: str, server: str) -> Response:
        """Its name, whether it may be used, its address at the same host, or a new key."""
        sent = checked(ServerChangeSerializer, request)
        return self.answer(services.change_server(principal=self.place, slug=server, **sent))

    @extend_schema(operation_id="remove_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """For good, with its key; its slug is not given again."""
        services.remove_server(principal=self.place, slug=server)
        return Response(status=204)


class ServerRefreshView(McpView):
    policy: ClassVar = {"POST": Action.MCPS_CHANGE}

    @extend_schema(operation_id="refresh_mcp_server", tags=["mcps"], request=None, responses=ServerSerializer)
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Looks again at what the server offers; what changed waits to be accepted."""
        row = services.find_server(place=self.place, slug=server)
        self.leave_tenant()
        async_to_sync(look_again)(principal=self.place, server_id=row.id)
        with tenant_scope(self.place.tenant):
            return self.answer(services.find_server(place=self.place, slug=row.slug))


class SignInAddressSerializer(serializers.Serializer[Any]):
    authorization_url = serializers.CharField(
        help_text="To be opened within ten minutes in a browser in which you are signed in here"
    )


class ServerSignInView(McpView):
    policy: ClassVar = {}  # whose sign-in it is decides, which the server's row says

    @extend_schema(
        operation_id="sign_in_at_mcp_server",
        tags=["mcps"],
        request=None,
        responses=SignInAddressSerializer,
    )
    def post(self, request: Request, workspace: str, server: str) -> Response:
        """Begins a sign-in at the server: a manager's for the workspace, or yours for yourself."""
        self.leave_tenant()
        address = async_to_sync(begin_sign_in)(principal=self.place, slug=server)
        return Response({"authorization_url": address})

    @extend_schema(operation_id="sign_out_of_mcp_server", tags=["mcps"], responses={204: None})
    def delete(self, request: Request, workspace: str, server: str) -> Response:
        """Forgets the sign-in, and asks the server to end it."""
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
        """Allows or denies several tools at once, or asks a person before each call: all of them, or none."""
        wish = checked(ToolsChangeSerializer, request)
        row = services.find_server(place=self.place, slug=server)
        named = wish.pop("tools", None) or [tool.name for tool in row.tools.all()]
        tools.change_tools(principal=self.place, slug=server, wishes=dict.fromkeys(named, wish))
        return self.answer(services.find_server(place=self.place, slug=row.slug))


class ToolView(McpView):
    policy: ClassVar = {"PATCH": Action.MCPS_CHANGE}

    @extend_schema(
        operation_id="change_mcp_tool", tags=["mcps"], request=ToolChangeSerializer, responses=ToolSerializer
    )
    def patch(self, request: Request, workspace: str, server: str, tool: str) -> Response:
        """Allows or denies a tool, restricts its arguments, asks a person first, accepts what changed."""
        sent = checked(ToolChangeSerializer, request)
        shown_hash = sent.pop("accept", None)
        if shown_hash is not None:
            tools.accept_tool(principal=self.place, slug=server, tool=tool, shown_hash=shown_hash)
        row = tools.change_tool(principal=self.place, slug=server, tool=tool, **sent)
        return Response(ToolSerializer(row).data)


class GalleryEntrySerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    about = serializers.CharField()
    url = serializers.CharField()
    transport = serializers.CharField()
    auth = serializers.CharField()
    header_name = serializers.CharField(help_text="That carries its key, where it asks for one")
    key_hint = serializers.CharField(help_text="What the header's value looks like")
    category = serializers.CharField()
    docs = serializers.CharField()


class GallerySerializer(serializers.Serializer[Any]):
    data = GalleryEntrySerializer(many=True)  # type: ignore[assignment]


class GalleryView(PolicyView):
    policy: ClassVar = {"GET": Action.MCPS_VIEW}

    @extend_schema(operation_id="mcp_gallery", tags=["mcps"], responses=GallerySerializer)
    def get(self, request: Request) -> Response:
        """Well-known MCP servers, to be installed with a click and what they ask for."""
        return Response(GallerySerializer({"data": read_gallery()}).data)
