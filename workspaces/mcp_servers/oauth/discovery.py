"""Finds out where one signs in for an MCP server, from its refusal and from the metadata that leads to."""

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
    asking,
    checked_scope,
    is_scope,
)

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_ADDRESS = 500  # characters
HELLO = {
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
    """Asks the server, and whom it names, where one signs in.

    McpSignInFailed for a server without a sign-in or with one that is not safe, AddressRefused.
    """
    async with asking() as client:
        challenge = await _challenge(client, url, transport)
        resource = await _resource_metadata(client, url, challenge)
        found = await _server_metadata(client, url, resource)
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
    """Without its query, as RFC 8707 has it: a key may stand there."""
    return resource_url_from_server_url(urlsplit(url)._replace(query="").geturl())


def _known_scope(resource: ProtectedResourceMetadata | None) -> str:
    """Left out where it makes no sense: it is only for later."""
    told = " ".join((resource and resource.scopes_supported) or [])
    return told if is_scope(told) else ""


async def _challenge(client: httpx2.AsyncClient, url: str, transport: str) -> httpx2.Response:
    """The answer to somebody unknown, of which only status and headers count."""
    accept = {"accept": "application/json, text/event-stream"}
    ask = (
        client.build_request("GET", url, headers=accept)
        if transport == "sse"
        else client.build_request("POST", url, json=HELLO, headers=accept)
    )
    answer: httpx2.Response = await client.send(ask, stream=True)
    await answer.aclose()
    return answer


async def _resource_metadata(
    client: httpx2.AsyncClient, url: str, challenge: httpx2.Response
) -> ProtectedResourceMetadata | None:
    """RFC 9728; None for older servers, which are their own authorization server."""
    named = protocol.extract_resource_metadata_from_www_auth(challenge)
    failed = False
    for place in protocol.build_protected_resource_metadata_discovery_urls(named, url):
        answer = await client.send(protocol.create_oauth_metadata_request(place))
        failed = failed or answer.status_code >= 500 or answer.status_code == 429
        found = await protocol.handle_protected_resource_response(answer)
        if found is None:
            continue
        asked, told = _resource_of(url), str(found.resource)
        if not check_resource_allowed(requested_resource=asked, configured_resource=told):
            raise McpSignInFailed("The sign-in metadata belongs to a different server.")
        return found
    if failed:  # which says nothing about whether there is any
        raise McpSignInFailed("The server does not provide its sign-in address at the moment.")
    return None


async def _server_metadata(
    client: httpx2.AsyncClient, url: str, resource: ProtectedResourceMetadata | None
) -> OAuthMetadata:
    """RFC 8414 or OpenID Connect's discovery, by an issuer who is who it was said to be."""
    named = str(resource.authorization_servers[0]) if resource else None
    parts = urlsplit(url)
    expected = named or f"{parts.scheme}://{parts.netloc}"
    for place in protocol.build_oauth_authorization_server_metadata_discovery_urls(named, url):
        answer = await client.send(protocol.create_oauth_metadata_request(place))
        goes_on, found = await protocol.handle_auth_metadata_response(answer)
        if found is not None:
            if named is not None or not protocol.issuers_match(str(found.issuer), expected):
                protocol.validate_metadata_issuer(found, expected)
            return found
        if not goes_on:
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
