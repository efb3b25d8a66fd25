"""OAuth 2.1 as MCP has it: where one signs in for a server, who we are there, what is granted.

Protocol: https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization. What a server says of
an error is never told on: it may repeat what it was sent.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from django.conf import settings
from mcp.client.auth import OAuthFlowError

from kit.outbound_sdk import GuardedSDKTransport, guarded_client
from workspaces.errors import McpSignInFailed

LONGEST_SCOPE = 2_000  # characters
SCOPE = re.compile(r"[ !#-\[\]-~]*")
LONGEST_TOKEN = 20_000  # characters
MOST_BYTES = 2_000_000  # of all answers: a site's own page for what it does not find may be large
GRANTS = ["authorization_code", "refresh_token"]
PLAIN = "Use printable ASCII characters without spaces."
MOVED = "The server now uses a different sign-in service. Install it again."
METHODS = ("client_secret_post", "client_secret_basic", "none")  # of proving who we are, as we prefer them


@dataclass(frozen=True, slots=True)
class Authorization:
    """Where one signs in for a server; kept as JSON, and holds no secret. `resource` is the server's address
    without its query; in its path a key could stand, and would be told to whoever signs in."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    resource: str
    scope: str = ""  # that is asked for at first
    known_scope: str = ""  # that the server may ask for later
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    tells_issuer: bool = False
    reads_documents: bool = False  # about clients, instead of registering them
    methods: tuple[str, ...] = ("client_secret_basic",)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Authorization":
        return cls(**{**data, "methods": tuple(data["methods"])})

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "methods": list(self.methods)}

    @property
    def method(self) -> str:
        """How a client with a secret proves itself here. McpSignInFailed where it is none of ours."""
        found = next((method for method in METHODS if method in self.methods), "")
        if not found:
            raise McpSignInFailed("The server needs a client authentication method that is not supported.")
        return found

    @property
    def mark(self) -> str:
        """Of the issuer, in the address to which browsers come back from it."""
        return hashlib.sha256(self.issuer.encode()).hexdigest()[:16]

    def url(self, *, client: "Client", state: str, challenge: str) -> str:
        """Where the person's browser goes."""
        asked = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        if self.scope:
            asked["scope"] = self.scope
        if "offline_access" in self.scope.split():
            asked["prompt"] = "consent"  # as OpenID Connect demands
        join = "&" if urlsplit(self.authorization_endpoint).query else "?"
        return f"{self.authorization_endpoint}{join}{urlencode(asked)}"


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at an authorization server. `issuer` is the one that it is meant for, and for no other."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    method: str = "none"
    issuer: str = ""
    redirect_uri: str = ""
    is_typed: bool = False  # by a manager; else we registered ourselves

    def at(self, authorization: Authorization) -> "Client | None":
        """Itself there; None where it is not known. McpSignInFailed where a manager's client is for another
        place: its secret goes nowhere else."""
        if self.is_typed:
            if self.issuer not in {"", authorization.issuer}:
                raise McpSignInFailed(MOVED)
            method = authorization.method if self.client_secret else "none"
            back = redirect_uri("" if authorization.tells_issuer else authorization.mark)
            return replace(self, method=method, issuer=authorization.issuer, redirect_uri=back)
        # By a document one is known everywhere, so its server has to say who answers; see `introduce`.
        is_by_document = self.client_id == document_url() and authorization.tells_issuer
        ours = redirect_uri() if is_by_document else redirect_uri(authorization.mark)
        return self if (self.issuer, self.redirect_uri) == (authorization.issuer, ours) else None

    @property
    def mark(self) -> str:
        """Of the issuer that comes back to its address; empty where several share one."""
        _, marked, mark = self.redirect_uri.partition("/mcp/back/")
        return mark if marked else ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was granted."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires_at: datetime | None = None
    scope: str = ""


def redirect_uri(mark: str = "") -> str:
    """Where browsers come back to: those servers that do not say who answers have a place of their own each.
    None is below another, since some servers take whatever is below what was registered."""
    return f"{settings.SITE_URL}/mcp/back/{mark}" if mark else f"{settings.SITE_URL}/mcp/callback"


def document_url() -> str:
    """Where a server reads who we are; it is our client id there."""
    return f"{settings.SITE_URL}/mcp/client.json"


def client_document() -> dict[str, Any]:
    """Who we are, as a Client ID Metadata Document. It can be read by everybody, so it proves nothing."""
    return {
        "client_id": document_url(),
        "client_name": "Switchyard",
        "client_uri": settings.SITE_URL,
        "redirect_uris": [redirect_uri()],
        "grant_types": GRANTS,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def is_scope(text: str) -> bool:
    """As RFC 6749 spells it, within our bound."""
    return len(text) <= LONGEST_SCOPE and SCOPE.fullmatch(text) is not None


def checked_scope(scope: str) -> str:
    """McpSignInFailed for what is none."""
    if not is_scope(scope):
        raise McpSignInFailed("The server's sign-in metadata is not valid.")
    return scope


def is_plain(token: str) -> bool:
    """It fits into a header as it is."""
    return len(token) <= LONGEST_TOKEN and all("!" <= sign <= "~" for sign in token)


@asynccontextmanager
async def asking() -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A guarded client for a few requests, bounded in all; what fails leaves in our words."""
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
