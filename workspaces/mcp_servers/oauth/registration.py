"""Our identity at an authorization server: a document that it reads, a registration, or a manager's input."""

from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from mcp.client.auth import utils as protocol
from mcp.shared.auth import OAuthClientMetadata

from workspaces.errors import McpSignInFailed
from workspaces.mcp_servers.oauth.metadata import GRANTS, METHODS, Authorization, oauth_http

MOVED = "The server now uses a different sign-in service. Install it again."


@dataclass(frozen=True, slots=True)
class Client:
    """Our identity at one authorization server. It is valid only for that `issuer`. Stored as JSON."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    method: str = "none"
    issuer: str = ""
    redirect_uri: str = ""
    is_typed: bool = False  # entered by a manager; otherwise we registered ourselves

    def at(self, authorization: Authorization) -> "Client | None":
        """This client for that server; None if the server does not know it.

        McpSignInFailed if a manager entered it for another issuer: its secret is sent nowhere else.
        """
        if self.is_typed:
            if self.issuer not in {"", authorization.issuer}:
                raise McpSignInFailed(MOVED)
            method = authorization.method if self.client_secret else "none"
            own_uri = redirect_uri("" if authorization.tells_issuer else authorization.issuer_digest)
            return replace(self, method=method, issuer=authorization.issuer, redirect_uri=own_uri)
        # Our document is the same everywhere, so its reader has to name the issuer; see `identify`.
        is_by_document = self.client_id == document_url() and authorization.tells_issuer
        own_uri = redirect_uri() if is_by_document else redirect_uri(authorization.issuer_digest)
        return self if (self.issuer, self.redirect_uri) == (authorization.issuer, own_uri) else None

    @property
    def issuer_digest(self) -> str:
        """The issuer's digest in its redirect URI; empty if several issuers share that URI."""
        _, separator, digest = self.redirect_uri.partition("/mcp/back/")
        return digest if separator else ""


def redirect_uri(issuer_digest: str = "") -> str:
    """Where browsers return to. Servers whose responses do not name the issuer get a URI of their own.

    No URI is a path prefix of another, since some servers accept every URI below a registered one.
    """
    if issuer_digest:
        return f"{settings.SITE_URL}/mcp/back/{issuer_digest}"
    return f"{settings.SITE_URL}/mcp/callback"


def document_url() -> str:
    """The URL of our Client ID Metadata Document, which is our client id where it is supported."""
    return f"{settings.SITE_URL}/mcp/client.json"


def client_document() -> dict[str, Any]:
    """Our Client ID Metadata Document. Anyone can read it, so it proves nothing."""
    return {
        "client_id": document_url(),
        "client_name": "Switchyard",
        "client_uri": settings.SITE_URL,
        "redirect_uris": [redirect_uri()],
        "grant_types": GRANTS,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


async def identify(authorization: Authorization) -> Client:
    """A new client for a server that does not know us: by our document if it reads those, else registered.

    McpSignInFailed if the server supports neither. A hostile server could send people to an honest one and
    have the honest one's codes sent to itself (RFC 9700, 4.4). So each server that registers us gets its own
    redirect URI; our document is the same for all, so its reader has to name the issuer in its responses
    (RFC 9207).
    """
    by_document = authorization.reads_documents and authorization.tells_issuer
    if by_document and settings.SITE_URL.startswith("https://"):
        return Client(document_url(), issuer=authorization.issuer, redirect_uri=redirect_uri())
    return await _register(authorization)


async def _register(authorization: Authorization) -> Client:
    """Dynamic client registration (RFC 7591)."""
    if not authorization.registration_endpoint:
        raise McpSignInFailed("The server does not support automatic client registration. Enter a client ID.")
    own_uri = redirect_uri(authorization.issuer_digest)
    request = OAuthClientMetadata(
        redirect_uris=[own_uri],  # type: ignore[list-item]  # pydantic converts it
        token_endpoint_auth_method=authorization.method,  # type: ignore[arg-type]
        grant_types=GRANTS,
        application_type="web",
        client_name="Switchyard",
        client_uri=settings.SITE_URL,  # type: ignore[arg-type]
        scope=protocol.union_scopes(authorization.scope, authorization.known_scope) or None,
    )
    body = request.model_dump(by_alias=True, mode="json", exclude_none=True)
    async with oauth_http() as http:
        response = await http.post(authorization.registration_endpoint, json=body)
        if response.status_code not in {200, 201}:
            raise McpSignInFailed("The server refused the client registration.", status=response.status_code)
        registered = await protocol.handle_registration_response(response)
    secret = registered.client_secret or ""
    method = registered.token_endpoint_auth_method or (authorization.method if secret else "none")
    is_our_document = registered.client_id == document_url()  # our identity at other servers
    if method not in METHODS or (method != "none" and not secret) or is_our_document:
        raise McpSignInFailed("The server's client registration uses a method that is not supported.")
    return Client(
        client_id=registered.client_id,
        client_secret=secret,
        method=method,
        issuer=authorization.issuer,
        redirect_uri=own_uri,
    )
