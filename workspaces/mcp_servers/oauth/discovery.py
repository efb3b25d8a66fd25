"""Finds the authorization server of an MCP server, from its 401 response and the metadata it points to."""

from urllib.parse import urlsplit

import httpx2
from django.conf import settings
from mcp.client.auth import utils as protocol
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url
from mcp_types import LATEST_PROTOCOL_VERSION

from kit import outbound
from workspaces.errors import McpSignInFailed
from workspaces.mcp_servers.oauth.metadata import (
    GRANTS,
    METHODS,
    Authorization,
    checked_scope,
    is_scope,
    oauth_http,
)

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_ADDRESS = 500  # characters
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": LATEST_PROTOCOL_VERSION,
        "capabilities": {},
        "clientInfo": {"name": "Switchyard", "version": "1"},
    },
}


async def discover(url: str, transport: str) -> Authorization:
    """Reads the metadata of the server and of the authorization server that it names.

    McpSignInFailed for a server without a sign-in or with an unsafe one, AddressRefused.
    """
    async with oauth_http() as http:
        challenge = await _challenge(http, url, transport)
        resource = await _resource_metadata(http, url, challenge)
        found = await _server_metadata(http, url, resource)
    _check_metadata(found)
    scope = protocol.get_client_metadata_scopes(
        protocol.extract_scope_from_www_auth(challenge), resource, found, GRANTS
    )
    offered = found.token_endpoint_auth_methods_supported or ["client_secret_basic"]
    return Authorization(
        issuer=str(found.issuer),
        authorization_endpoint=str(found.authorization_endpoint),
        token_endpoint=str(found.token_endpoint),
        resource=str(resource.resource) if resource else _resource_of(url),
        scope=checked_scope(scope or ""),
        known_scope=_known_scope(resource),
        registration_endpoint=str(found.registration_endpoint or ""),
        revocation_endpoint=str(found.revocation_endpoint or ""),
        reads_documents=bool(found.client_id_metadata_document_supported),
        tells_issuer=bool(found.authorization_response_iss_parameter_supported),
        methods=tuple(method for method in METHODS if method in offered),
    )


def _resource_of(url: str) -> str:
    """Without the query (RFC 8707), which may contain a key."""
    return resource_url_from_server_url(urlsplit(url)._replace(query="").geturl())


def _known_scope(resource: ProtectedResourceMetadata | None) -> str:
    """Ignored if invalid: no sign-in needs it yet."""
    scope = " ".join((resource and resource.scopes_supported) or [])
    return scope if is_scope(scope) else ""


async def _challenge(http: httpx2.AsyncClient, url: str, transport: str) -> httpx2.Response:
    """The response to an unauthenticated request. Only its status and headers matter."""
    accept = {"accept": "application/json, text/event-stream"}
    request = (
        http.build_request("GET", url, headers=accept)
        if transport == "sse"
        else http.build_request("POST", url, json=INITIALIZE, headers=accept)
    )
    response: httpx2.Response = await http.send(request, stream=True)
    await response.aclose()
    return response


async def _resource_metadata(
    http: httpx2.AsyncClient, url: str, challenge: httpx2.Response
) -> ProtectedResourceMetadata | None:
    """RFC 9728. None for older servers, which are their own authorization server."""
    named = protocol.extract_resource_metadata_from_www_auth(challenge)
    failed = False
    for location in protocol.build_protected_resource_metadata_discovery_urls(named, url):
        response = await http.send(protocol.create_oauth_metadata_request(location))
        failed = failed or response.status_code >= 500 or response.status_code == 429
        found = await protocol.handle_protected_resource_response(response)
        if found is None:
            continue
        ours, named_resource = _resource_of(url), str(found.resource)
        if not check_resource_allowed(requested_resource=ours, configured_resource=named_resource):
            raise McpSignInFailed("The sign-in metadata belongs to a different server.")
        return found
    if failed:  # so we do not know whether it has any
        raise McpSignInFailed("The server does not provide its sign-in address at the moment.")
    return None


async def _server_metadata(
    http: httpx2.AsyncClient, url: str, resource: ProtectedResourceMetadata | None
) -> OAuthMetadata:
    """RFC 8414 or OpenID Connect discovery; the issuer must be the one that was named."""
    named = str(resource.authorization_servers[0]) if resource else None
    parts = urlsplit(url)
    expected = named or f"{parts.scheme}://{parts.netloc}"
    for location in protocol.build_oauth_authorization_server_metadata_discovery_urls(named, url):
        response = await http.send(protocol.create_oauth_metadata_request(location))
        may_continue, found = await protocol.handle_auth_metadata_response(response)
        if found is not None:
            if named is not None or not protocol.issuers_match(str(found.issuer), expected):
                protocol.validate_metadata_issuer(found, expected)
            return found
        if not may_continue:
            break
    raise McpSignInFailed("The server's sign-in could not be discovered.")


def _check_metadata(found: OAuthMetadata) -> None:
    if "S256" not in (found.code_challenge_methods_supported or []):
        raise McpSignInFailed("The server's sign-in is not secure: it does not support PKCE (S256).")
    endpoint = str(found.authorization_endpoint)
    parts = urlsplit(endpoint)
    is_local = parts.scheme == "http" and settings.DEVELOPMENT and parts.hostname in LOOPBACK
    if is_local:
        is_local = outbound.is_allowed(parts.hostname or "", parts.port or 80)
    if not (parts.scheme == "https" or is_local) or parts.username or parts.password or parts.fragment:
        raise McpSignInFailed("The server's sign-in page is not secure: it must use https.")
    if any(len(str(text)) > LONGEST_ADDRESS for text in (found.issuer, endpoint, found.token_endpoint)):
        raise McpSignInFailed("The server's sign-in addresses are too long.")
