"""What REST takes and tells of MCP servers and their tools; secrets only go in."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from accounts.serializers import NameField
from workspaces.mcp_servers.definitions import MOST_TOOLS, hash_of
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
    sign_in = serializers.CharField(help_text="Who signs in if `auth` is oauth: `workspace` or `member`")
    needs_sign_in = serializers.SerializerMethodField()
    problem = serializers.CharField(help_text="Why the last check failed; empty if it succeeded")
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
    url = serializers.CharField(max_length=500, help_text="Keys in it are stored encrypted")
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
        help_text="Who signs in if `auth` is oauth; default: `workspace`",
    )
    client_id = serializers.CharField(
        max_length=1_000,
        required=False,
        default="",
        allow_blank=True,
        help_text="Only for servers without automatic client registration",
    )
    client_secret = serializers.CharField(
        max_length=10_000, required=False, default="", allow_blank=True, write_only=True
    )
    enabled = serializers.BooleanField(required=False, default=True)


class ServerChangeSerializer(serializers.Serializer[Any]):
    name = NameField(required=False)
    enabled = serializers.BooleanField(required=False)
    url = serializers.CharField(
        max_length=500, required=False, help_text="On the same host, for example with a new key"
    )
    header_value = serializers.CharField(max_length=10_000, required=False, write_only=True)
    client_secret = serializers.CharField(max_length=10_000, required=False, write_only=True)


class ToolChangeSerializer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField(source="is_allowed", required=False)
    needs_approval = serializers.BooleanField(required=False)
    argument_schema = serializers.DictField(
        required=False, help_text="A JSON Schema; {} removes the restriction"
    )
    accept = serializers.CharField(
        required=False, max_length=64, help_text="The `offered_hash` of the changed definition to accept"
    )


class ToolsChangeSerializer(serializers.Serializer[Any]):
    tools = serializers.ListField(
        child=serializers.CharField(max_length=128),
        min_length=1,
        max_length=MOST_TOOLS,
        required=False,
        help_text="Names of tools; default: all tools of the server",
    )
    allowed = serializers.BooleanField(source="is_allowed", required=False)
    needs_approval = serializers.BooleanField(required=False)


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
