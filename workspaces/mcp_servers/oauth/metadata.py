"""An authorization server's metadata, and checks of what it sends (OAuth 2.1 as MCP uses it).

Protocol: https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization. A server's own error
texts are never passed on: they may repeat what it was sent.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from django.conf import settings
from mcp.client.auth import OAuthFlowError

from kit.outbound_sdk import GuardedSDKTransport, guarded_client
from workspaces.errors import McpSignInFailed

LONGEST_SCOPE = 2_000  # characters
SCOPE = re.compile(r"[ !#-\[\]-~]*")
ERROR_CODE = re.compile(r"[a-z_]{1,40}")  # RFC 6749
LONGEST_TOKEN = 20_000  # characters
MOST_BYTES = 2_000_000  # of all responses: a site's own 404 page may be large
NOT_VISIBLE_ASCII = "Use printable ASCII characters without spaces."
GRANTS = ["authorization_code", "refresh_token"]
METHODS = ("client_secret_post", "client_secret_basic", "none")  # of client authentication, by preference


@dataclass(frozen=True, slots=True)
class Authorization:
    """Where to sign in for an MCP server. Stored as JSON, without secrets.

    `resource` is the server's URL without its query. A key in its path would be shown to everyone who signs
    in.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    resource: str
    scope: str = ""  # requested at the first sign-in
    known_scope: str = ""  # that the server may request later
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    tells_issuer: bool = False  # its responses name the issuer (RFC 9207)
    reads_documents: bool = False  # supports Client ID Metadata Documents
    methods: tuple[str, ...] = ("client_secret_basic",)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Authorization":
        return cls(**{**data, "methods": tuple(data["methods"])})

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "methods": list(self.methods)}

    @property
    def method(self) -> str:
        """How a client with a secret authenticates. McpSignInFailed if we support none of the methods."""
        found = next((method for method in METHODS if method in self.methods), "")
        if not found:
            raise McpSignInFailed("The server needs a client authentication method that is not supported.")
        return found

    @property
    def issuer_digest(self) -> str:
        """Identifies the issuer in a redirect URI of its own."""
        return hashlib.sha256(self.issuer.encode()).hexdigest()[:16]

    def url(self, *, client_id: str, redirect_uri: str, state: str, challenge: str) -> str:
        """The URL to which the person's browser is sent."""
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        if self.scope:
            parameters["scope"] = self.scope
        if "offline_access" in self.scope.split():
            parameters["prompt"] = "consent"  # required by OpenID Connect
        separator = "&" if urlsplit(self.authorization_endpoint).query else "?"
        return f"{self.authorization_endpoint}{separator}{urlencode(parameters)}"


def is_scope(text: str) -> bool:
    """Whether it has RFC 6749's syntax and is within our bound."""
    return len(text) <= LONGEST_SCOPE and SCOPE.fullmatch(text) is not None


def checked_scope(scope: str) -> str:
    """McpSignInFailed if it is not a scope."""
    if not is_scope(scope):
        raise McpSignInFailed("The server's sign-in metadata is not valid.")
    return scope


def checked_error_code(code: str) -> str:
    """An error code of RFC 6749; empty if it is none."""
    return code if ERROR_CODE.fullmatch(code) else ""


def fits_a_header(token: str) -> bool:
    """Whether a credential can be sent in a header unchanged: visible ASCII without spaces."""
    return len(token) <= LONGEST_TOKEN and all("!" <= character <= "~" for character in token)


@asynccontextmanager
async def oauth_http() -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A guarded client for a few requests, bounded together; failures are raised as errors of ours."""
    transport = GuardedSDKTransport(most_bytes=MOST_BYTES, seconds=settings.MCP_CONNECT_SECONDS)
    try:
        async with asyncio.timeout(settings.MCP_CONNECT_SECONDS), guarded_client(transport) as client:
            yield client
    except TimeoutError as exc:
        raise McpSignInFailed("The sign-in server did not respond in time.") from exc
    except httpx2.HTTPError as exc:
        raise transport.refusal or McpSignInFailed("The sign-in server cannot be reached.") from exc
    except (httpx2.InvalidURL, UnicodeError) as exc:
        raise McpSignInFailed("The server's sign-in address is not a valid URL.") from exc
    except (OAuthFlowError, ValueError) as exc:
        raise McpSignInFailed("The server's sign-in metadata is not valid.") from exc
