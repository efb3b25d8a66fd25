"""The inputs for MCP servers and their tools, each field declared once, and checks of their values."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx

from kit.errors import InvalidInput
from kit.fields import Choice, Help, Items, Line, Secret, Slug
from kit.outbound import DEFAULT_PORTS, UNREADABLE
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.definitions import MOST_TOOLS
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.metadata import NOT_VISIBLE_ASCII, fits_a_header
from workspaces.mcp_servers.oauth.registration import Client
from workspaces.mcp_servers.urls import HIDDEN
from workspaces.slugs import SERVER_SLUGS

HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
RESERVED_HEADERS = {  # set by the HTTP client and the MCP SDK
    "host",
    "content-length",
    "content-type",
    "accept",
    "transfer-encoding",
    "connection",
    "mcp-session-id",
}

Name = Annotated[str, Line(100)]


@dataclass(frozen=True, slots=True)
class ServerInput:
    # No docstring: it would be shown in the API's description. `url` may contain a key.
    slug: Annotated[str, Slug(60)]
    url: Annotated[str, Slug(500), Help("Keys in it are stored encrypted")] = field(repr=False)
    name: Name | None = None
    transport: Annotated[str, Choice(MCPServer.Transport.choices)] = MCPServer.Transport.STREAMABLE_HTTP.value
    auth: Annotated[str, Choice(MCPServer.Auth.choices)] = MCPServer.Auth.NONE.value
    header_name: Annotated[str, Slug(100)] = ""
    header_value: Annotated[str, Secret(10_000)] = field(default="", repr=False)
    sign_in: Annotated[
        str | None,
        Choice(MCPServer.SignIn.choices),
        Help("Who signs in if `auth` is oauth; default: `workspace`"),
    ] = None
    client_id: Annotated[str, Slug(1_000), Help("Only for servers without automatic client registration")] = (
        ""
    )
    client_secret: Annotated[str, Secret(10_000)] = field(default="", repr=False)
    enabled: bool = True

    def check(self) -> None:
        """InvalidInput names every wrong field."""
        wrong: dict[str, Any] = {}
        if problem := SERVER_SLUGS.problem(self.slug):
            wrong["slug"] = [problem]
        if problem := url_problem(self.url):
            wrong["url"] = [problem]
        if self.auth == MCPServer.Auth.HEADER:
            wrong |= header_problems(self.header_name, self.header_value)
        if self.auth == MCPServer.Auth.OAUTH:
            wrong |= self._client_problems()
        if wrong:
            raise InvalidInput(**wrong)

    def _client_problems(self) -> dict[str, list[str]]:
        wrong = {}
        if not fits_a_header(self.client_id):
            wrong["client_id"] = [NOT_VISIBLE_ASCII]
        if not fits_a_header(self.client_secret):
            wrong["client_secret"] = [NOT_VISIBLE_ASCII]
        elif self.client_secret and not self.client_id:
            wrong["client_id"] = ["Enter a client ID for the client secret."]
        return wrong

    @property
    def who_signs_in(self) -> str:
        """MCPServer.SignIn; empty if no one does."""
        if self.auth != MCPServer.Auth.OAUTH:
            return ""
        return self.sign_in or MCPServer.SignIn.WORKSPACE.value

    @property
    def client(self) -> Client | None:
        """The OAuth client that a manager registered by hand, if any."""
        if self.auth != MCPServer.Auth.OAUTH or not self.client_id:
            return None
        return Client(self.client_id, self.client_secret, is_typed=True)

    @property
    def address(self) -> Address:
        is_keyed = self.auth == MCPServer.Auth.HEADER
        return Address(self.url, self.transport, {self.header_name: self.header_value} if is_keyed else {})


@dataclass(frozen=True, slots=True)
class ServerChange:
    # None leaves a field as it is.
    name: Name | None = None
    enabled: bool | None = None
    url: Annotated[str | None, Slug(500), Help("On the same host, for example with a new key")] = field(
        default=None, repr=False
    )
    header_value: Annotated[str | None, Secret(10_000)] = field(default=None, repr=False)
    client_secret: Annotated[str | None, Secret(10_000)] = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ToolChange:
    # None leaves a field as it is.
    allowed: bool | None = None
    needs_approval: bool | None = None
    argument_schema: Annotated[dict[str, Any] | None, Help("A JSON Schema; {} removes the restriction")] = (
        None
    )
    accept: Annotated[
        str | None, Slug(64), Help("The `offered_hash` of the changed definition to accept")
    ] = None


@dataclass(frozen=True, slots=True)
class ToolsChange:
    # None leaves a field as it is.
    tools: Annotated[
        list[Annotated[str, Slug(128)]] | None,
        Items(MOST_TOOLS, fewest=1),
        Help("Names of tools; default: all tools of the server"),
    ] = None
    allowed: bool | None = None
    needs_approval: bool | None = None


def url_problem(url: str) -> str:
    """Checked with the HTTP client's parser; Python's must be able to read it too. Empty for a valid URL."""
    try:
        parts, _ = httpx.URL(url), urlsplit(url)
    except (ValueError, *UNREADABLE):
        return "Not a valid URL."
    if HIDDEN in url:
        return f"Enter the full URL: {HIDDEN} replaces the hidden part."
    is_one = parts.scheme in DEFAULT_PORTS and parts.host and 0 < (parts.port or 1) < 65536
    if not is_one or not url.isprintable() or " " in url:
        return "Enter the server's URL, https://…"
    if parts.userinfo or parts.fragment:
        return "The URL must not contain a password or a fragment. Enter the key as a header."
    return ""


def header_problems(name: str, value: str) -> dict[str, list[str]]:
    wrong = {}
    if not HEADER_NAME.fullmatch(name) or name.lower() in RESERVED_HEADERS:
        wrong["header_name"] = ["Enter the name of the header with the key, such as Authorization."]
    if not value or not (value.isascii() and value.isprintable()) or value != value.strip():
        wrong["header_value"] = ["A key must be a single line of printable ASCII characters."]
    return wrong
