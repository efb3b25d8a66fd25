"""The token endpoint: exchanges a code for tokens, refreshes them and revokes them."""

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx2
from django.utils import timezone
from mcp.client.auth import utils as protocol

from kit.errors import DomainError
from workspaces.errors import McpSignInFailed
from workspaces.mcp_servers.oauth.metadata import (
    Authorization,
    checked_error_code,
    checked_scope,
    fits_a_header,
    oauth_http,
)
from workspaces.mcp_servers.oauth.registration import Client

LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the server granted."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires_at: datetime | None = None
    scope: str = ""


class GrantRefused(Exception):
    """The token endpoint refused; `code` is RFC 6749's error code, empty for any other response."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


async def exchange_code(authorization: Authorization, client: Client, *, code: str, verifier: str) -> Tokens:
    """GrantRefused, McpSignInFailed, AddressRefused."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": verifier,
        "resource": authorization.resource,
    }
    return await _request_tokens(authorization, client, form, Tokens(access="", scope=authorization.scope))


async def refresh(authorization: Authorization, client: Client, before: Tokens) -> Tokens:
    """Reuses the refresh token if the server sends no new one. GrantRefused, McpSignInFailed."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": before.refresh,
        "resource": authorization.resource,
    }
    return await _request_tokens(authorization, client, form, before)


async def _request_tokens(
    authorization: Authorization, client: Client, form: dict[str, str], before: Tokens
) -> Tokens:
    """`before` fills in what the response leaves out: the refresh token and the scope."""
    requested_at = timezone.now()
    async with oauth_http() as http:
        response = await _post(http, authorization.token_endpoint, client, form)
        if response.status_code not in {200, 201}:
            if response.status_code >= 500 or response.status_code == 429:
                raise McpSignInFailed(
                    "The sign-in server is not working at the moment.", status=response.status_code
                )
            raise GrantRefused(_error_code(response))
        granted = await protocol.handle_token_response_scopes(response)
    tokens = (granted.access_token, granted.refresh_token or before.refresh)
    if not tokens[0] or any(not fits_a_header(token) for token in tokens):
        raise McpSignInFailed("The server returned an invalid token response.")
    seconds = granted.expires_in
    life = None if seconds is None else min(max(seconds, 0), LONGEST_LIFE.total_seconds())
    return Tokens(
        access=tokens[0],
        refresh=tokens[1],
        expires_at=None if life is None else requested_at + timedelta(seconds=life),
        scope=checked_scope(granted.scope or before.scope),
    )


async def revoke(authorization: Authorization, client: Client, token: str) -> None:
    """Best effort (RFC 7009): the sign-out does not depend on the server's answer."""
    if not authorization.revocation_endpoint or not token:
        return
    try:
        async with oauth_http() as http:
            await _post(http, authorization.revocation_endpoint, client, {"token": token})
    except DomainError:
        return


async def _post(
    http: httpx2.AsyncClient, endpoint: str, client: Client, form: dict[str, str]
) -> httpx2.Response:
    """Posts the form with the client's authentication (RFC 6749, 2.3.1)."""
    form = {**form, "client_id": client.client_id}
    headers = {"accept": "application/json"}
    if client.method == "client_secret_post":
        form["client_secret"] = client.client_secret
    elif client.method == "client_secret_basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return await http.post(endpoint, data=form, headers=headers)


def _error_code(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return ""
    return checked_error_code(str(body.get("error", ""))) if isinstance(body, dict) else ""
