"""What REST returns of MCP servers and their tools: never a secret."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from workspaces.mcp_servers.definitions import hash_of
from workspaces.mcp_servers.models import MCPServer, Tool


class ToolSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField(source="definition.description")
    input_schema = serializers.DictField(source="definition.input_schema")
    annotations = serializers.DictField(source="definition.annotations")
    only_reads = serializers.BooleanField(help_text="As declared by its server")
    usable = serializers.BooleanField(source="is_usable")
    allowed = serializers.BooleanField(source="is_allowed")
    new = serializers.BooleanField(
        source="is_new", help_text="Added after installation: denied until someone allows it"
    )
    needs_approval = serializers.BooleanField()
    argument_schema = serializers.DictField(
        allow_null=True, help_text="A JSON Schema that the arguments must match"
    )
    problem = serializers.CharField(help_text="Why it cannot be used; empty if it can")
    gone = serializers.BooleanField(source="is_gone", help_text="The server no longer offers it")
    offered = serializers.DictField(
        allow_null=True, help_text="The changed definition, until someone accepts it with `offered_hash`"
    )
    offered_hash = serializers.SerializerMethodField()

    def get_offered_hash(self, tool: Tool) -> str | None:
        return hash_of(tool.offered) if tool.offered is not None else None


class BareServerSerializer(serializers.Serializer[Any]):
    """A server without its tools; its URL is shown to managers only."""

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
    sign_in = serializers.CharField(help_text="Who signs in if `auth` is oauth: `workspace` or `member`")
    needs_sign_in = serializers.SerializerMethodField()
    problem = serializers.CharField(help_text="Why the last check failed; empty if it succeeded")
    checked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    @property
    def _is_for_manager(self) -> bool:
        return bool(self.context["is_manager"])

    def get_url(self, row: MCPServer) -> str | None:
        """The URL without the parts that may be a key."""
        return row.url if self._is_for_manager else None

    def get_has_key_in_url(self, row: MCPServer) -> bool:
        """Whether parts of the URL are hidden."""
        return bool(row.sealed_url)

    def get_has_header(self, row: MCPServer) -> bool:
        """Whether a key is stored; never the key."""
        return bool(row.sealed_header)

    def get_needs_sign_in(self, row: MCPServer) -> bool:
        """Whether you (or a manager, depending on `sign_in`) have to sign in before you can use it."""
        return row.id in self.context["missing"]


class ListedServerSerializer(BareServerSerializer):
    """A server in a list: tools are only counted, since each has its own schemas."""

    usable_tools = serializers.SerializerMethodField()
    waiting_tools = serializers.SerializerMethodField()

    def get_usable_tools(self, row: MCPServer) -> int:
        return int(self.context["listed"][row.id].usable)

    def get_waiting_tools(self, row: MCPServer) -> int:
        """Changed or new tools that a manager needs to review."""
        return int(self.context["listed"][row.id].waiting)


class ServerSerializer(BareServerSerializer):
    """A server with its tools; members who are not managers see only usable ones."""

    tools = serializers.SerializerMethodField()

    @extend_schema(responses=ToolSerializer(many=True))
    def get_tools(self, row: MCPServer) -> list[dict[str, Any]]:
        shown = [tool for tool in row.tools.order_by("name") if self._is_for_manager or tool.is_usable]
        return list(ToolSerializer(shown, many=True).data)


class ServersSerializer(serializers.Serializer[Any]):
    data = ListedServerSerializer(many=True)  # type: ignore[assignment]  # a field called data


class SignInAddressSerializer(serializers.Serializer[Any]):
    authorization_url = serializers.CharField(
        help_text="Open it within ten minutes in a browser where you are signed in to Switchyard"
    )


class GalleryEntrySerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    about = serializers.CharField()
    url = serializers.CharField()
    transport = serializers.CharField()
    auth = serializers.CharField()
    header_name = serializers.CharField(help_text="The header for the key, if the server needs one")
    key_hint = serializers.CharField(help_text="What the header's value looks like")
    category = serializers.CharField()
    docs = serializers.CharField()


class GallerySerializer(serializers.Serializer[Any]):
    data = GalleryEntrySerializer(many=True)  # type: ignore[assignment]
