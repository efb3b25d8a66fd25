"""Forms for MCP servers: the fields of their inputs with labels and hints."""

from typing import Any

from django import forms

from kit.inputs import form_field, read_form
from workspaces.mcp_servers.inputs import ServerChange, ServerInput
from workspaces.mcp_servers.models import MCPServer

AUTHENTICATION = [
    (MCPServer.Auth.NONE.value, "None"),
    (MCPServer.Auth.HEADER.value, "API key (in a header)"),
    (MCPServer.Auth.OAUTH.value, "Sign-in (OAuth)"),
]
SIGN_IN = [
    (MCPServer.SignIn.WORKSPACE.value, "Once, for the whole workspace"),
    (MCPServer.SignIn.MEMBER.value, "Each member with their own account"),
]


class InstallForm(forms.Form):
    name = form_field(ServerInput, "name", label="Name", required=True)
    slug = form_field(
        ServerInput,
        "slug",
        label="API name",
        help_text="Lowercase letters, digits, hyphens and underscores. Used in API calls.",
    )
    url = form_field(
        ServerInput,
        "url",
        label="URL",
        help_text="The URL of the MCP endpoint, https://… A key in the URL is stored encrypted.",
    )
    transport = form_field(ServerInput, "transport", label="Connection type", required=True)
    auth = form_field(ServerInput, "auth", label="Authentication", required=True)
    sign_in = form_field(
        ServerInput, "sign_in", label="Who signs in", initial=MCPServer.SignIn.WORKSPACE.value
    )
    client_id = form_field(ServerInput, "client_id", label="Client ID")
    client_secret = form_field(
        ServerInput,
        "client_secret",
        label="Client secret",
        help_text="Stored encrypted and never shown again.",
    )
    header_name = form_field(ServerInput, "header_name", label="Header", initial="Authorization")
    header_value = form_field(
        ServerInput,
        "header_value",
        label="Value",
        help_text="For example: Bearer and a token. Stored encrypted and never shown again.",
    )

    auth.choices = AUTHENTICATION
    sign_in.choices = SIGN_IN

    def server(self) -> ServerInput:
        return read_form(ServerInput, self)


class ConnectionForm(forms.Form):
    """Fields that are unchanged or empty change nothing."""

    url = form_field(ServerChange, "url", label="URL")
    header_value = form_field(ServerChange, "header_value", label="New key")

    def __init__(self, row: MCPServer, data: Any = None) -> None:
        super().__init__(data, initial={"url": row.url})
        if row.auth != MCPServer.Auth.HEADER:
            del self.fields["header_value"]

    def change(self) -> ServerChange:
        return ServerChange(**{name: value for name, value in self.cleaned_data.items() if value})
