"""How an MCP server is to be installed: what somebody wishes, and what is wrong with it."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from kit.errors import InvalidInput
from kit.outbound import DEFAULT_PORTS, UNREADABLE
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.oauth.metadata import PLAIN, Client, is_plain
from workspaces.mcp_servers.urls import HIDDEN
from workspaces.slugs import is_like_an_id

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
NOT_OURS = {
    "host",
    "content-length",
    "content-type",
    "accept",
    "transfer-encoding",
    "connection",
    "mcp-session-id",
}


@dataclass(frozen=True, slots=True)
class ServerWish:
    """How a server is to be installed; `url` may hold a secret, `header_value` and `client_secret` are some.

    A client id is only for authorization servers that register nobody by themselves.
    """

    slug: str
    name: str
    url: str = field(repr=False)
    transport: str = MCPServer.Transport.STREAMABLE_HTTP.value
    auth: str = MCPServer.Auth.NONE.value
    header_name: str = ""
    header_value: str = field(default="", repr=False)
    sign_in: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    enabled: bool = True

    def check(self) -> None:
        """InvalidInput names every wrong field."""
        wrong: dict[str, Any] = {}
        if not SLUG.fullmatch(self.slug) or is_like_an_id(self.slug):
            wrong["slug"] = ["Use up to 60 lowercase letters, digits, hyphens and underscores. No IDs."]
        if problem := url_problem(self.url):
            wrong["url"] = [problem]
        if self.auth == MCPServer.Auth.HEADER:
            wrong |= header_problems(self.header_name, self.header_value)
        if self.auth == MCPServer.Auth.OAUTH:
            wrong |= self._sign_in_problems()
        if wrong:
            raise InvalidInput(**wrong)

    def _sign_in_problems(self) -> dict[str, list[str]]:
        wrong = {}
        if self.sign_in not in {"", *MCPServer.SignIn.values}:
            wrong["sign_in"] = ["Use member or workspace."]
        if not is_plain(self.client_id):
            wrong["client_id"] = [PLAIN]
        if not is_plain(self.client_secret):
            wrong["client_secret"] = [PLAIN]
        elif self.client_secret and not self.client_id:
            wrong["client_id"] = ["Enter a client ID for the client secret."]
        return wrong

    @property
    def who_signs_in(self) -> str:
        if self.auth != MCPServer.Auth.OAUTH:
            return ""
        return self.sign_in or MCPServer.SignIn.WORKSPACE.value

    @property
    def client(self) -> Client | None:
        """Who we are at the authorization server, where somebody registered us by hand."""
        if self.auth != MCPServer.Auth.OAUTH or not self.client_id:
            return None
        return Client(self.client_id, self.client_secret, is_typed=True)

    @property
    def address(self) -> Address:
        is_keyed = self.auth == MCPServer.Auth.HEADER
        return Address(self.url, self.transport, {self.header_name: self.header_value} if is_keyed else {})


def url_problem(url: str) -> str:
    """Judged as whoever sends requests there reads it, and readable to Python too; empty: there is none."""
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
    if not HEADER_NAME.fullmatch(name) or name.lower() in NOT_OURS:
        wrong["header_name"] = ["Enter the name of the header with the key, such as Authorization."]
    if not value or not (value.isascii() and value.isprintable()) or value != value.strip():
        wrong["header_value"] = ["A key must be a single line of printable ASCII characters."]
    return wrong
