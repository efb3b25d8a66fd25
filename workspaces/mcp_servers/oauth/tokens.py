"""What an authorization server is asked for: to register us, to grant tokens, to renew and to end them."""

import base64
import re
from datetime import timedelta
from urllib.parse import quote

import httpx2
from django.conf import settings
from django.utils import timezone
from mcp.client.auth import utils as protocol
from mcp.shared.auth import OAuthClientMetadata

from kit.errors import DomainError
from workspaces.errors import McpSignInFailed
from workspaces.mcp_servers.oauth.metadata import (
    GRANTS,
    METHODS,
    Authorization,
    Client,
    Tokens,
    asking,
    checked_scope,
    document_url,
    is_plain,
    redirect_uri,
)

LONGEST_LIFE = timedelta(days=366)
CODE = re.compile(r"[a-z_]{1,40}")  # of an error, as RFC 6749 has them


class GrantRefused(Exception):
    """The token endpoint said no; `code` is RFC 6749's, empty for anything else."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


async def introduce(authorization: Authorization) -> Client:
    """Who we are from now on at a server that does not know us: by our document where it reads such, else
    registered. McpSignInFailed where the server takes no strangers.

    A hostile server could lead people to an honest one, and have what that grants sent to itself (RFC 9700,
    4.4). Where we registered, each server has its own address to come back to; our document is the same for
    all, so whoever reads it has to say in its answers who they are (RFC 9207).
    """
    by_document = authorization.reads_documents and authorization.tells_issuer
    if by_document and settings.SITE_URL.startswith("https://"):
        return Client(document_url(), issuer=authorization.issuer, redirect_uri=redirect_uri())
    return await _register(authorization)


async def _register(authorization: Authorization) -> Client:
    """RFC 7591."""
    if not authorization.registration_endpoint:
        raise McpSignInFailed("The server does not support automatic client registration. Enter a client ID.")
    back = redirect_uri(authorization.mark)
    wish = OAuthClientMetadata(
        redirect_uris=[back],  # type: ignore[list-item]  # pydantic reads it
        token_endpoint_auth_method=authorization.method,  # type: ignore[arg-type]
        grant_types=GRANTS,
        application_type="web",
        client_name="Switchyard",
        client_uri=settings.SITE_URL,  # type: ignore[arg-type]
        scope=protocol.union_scopes(authorization.scope, authorization.known_scope) or None,
    )
    body = wish.model_dump(by_alias=True, mode="json", exclude_none=True)
    async with asking() as client:
        answer = await client.post(authorization.registration_endpoint, json=body)
        if answer.status_code not in {200, 201}:
            raise McpSignInFailed("The server refused the client registration.", status=answer.status_code)
        made = await protocol.handle_registration_response(answer)
    secret = made.client_secret or ""
    method = made.token_endpoint_auth_method or (authorization.method if secret else "none")
    is_ours = made.client_id == document_url()  # as which we are known to others
    if method not in METHODS or (method != "none" and not secret) or is_ours:
        raise McpSignInFailed("The server's client registration uses a method that is not supported.")
    return Client(
        client_id=made.client_id,
        client_secret=secret,
        method=method,
        issuer=authorization.issuer,
        redirect_uri=back,
    )


async def exchange_code(authorization: Authorization, client: Client, *, code: str, verifier: str) -> Tokens:
    """GrantRefused, McpSignInFailed, AddressRefused."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": verifier,
        "resource": authorization.resource,
    }
    return await _ask_for_tokens(authorization, client, form, Tokens(access="", scope=authorization.scope))


async def refresh(authorization: Authorization, client: Client, before: Tokens) -> Tokens:
    """Keeps the refresh token where the server gives no new one. GrantRefused, McpSignInFailed."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": before.refresh,
        "resource": authorization.resource,
    }
    return await _ask_for_tokens(authorization, client, form, before)


async def _ask_for_tokens(
    authorization: Authorization, client: Client, form: dict[str, str], before: Tokens
) -> Tokens:
    asked_at = timezone.now()
    async with asking() as http:
        answer = await _post(http, authorization.token_endpoint, client, form)
        if answer.status_code not in {200, 201}:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise McpSignInFailed(
                    "The sign-in server is not working at the moment.", status=answer.status_code
                )
            raise GrantRefused(_error_code(answer))
        told = await protocol.handle_token_response_scopes(answer)
    tokens = (told.access_token, told.refresh_token or before.refresh)
    if not tokens[0] or any(not is_plain(token) for token in tokens):
        raise McpSignInFailed("The server returned an invalid token response.")
    life = None if told.expires_in is None else min(max(told.expires_in, 0), LONGEST_LIFE.total_seconds())
    return Tokens(
        access=tokens[0],
        refresh=tokens[1],
        expires_at=None if life is None else asked_at + timedelta(seconds=life),
        scope=checked_scope(told.scope or before.scope),
    )


async def revoke(authorization: Authorization, client: Client, token: str) -> None:
    """RFC 7009, as well as it goes: whether the server listens is not ours to wait for."""
    if not authorization.revocation_endpoint or not token:
        return
    try:
        async with asking() as http:
            await _post(http, authorization.revocation_endpoint, client, {"token": token})
    except DomainError:
        return


async def _post(
    http: httpx2.AsyncClient, endpoint: str, client: Client, form: dict[str, str]
) -> httpx2.Response:
    """The form with the proof of who we are, as RFC 6749 has it in section 2.3.1."""
    form = {**form, "client_id": client.client_id}
    headers = {"accept": "application/json"}
    if client.method == "client_secret_post":
        form["client_secret"] = client.client_secret
    elif client.method == "client_secret_basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return await http.post(endpoint, data=form, headers=headers)


def _error_code(answer: httpx2.Response) -> str:
    try:
        told = answer.json()
        code = str(told.get("error", "")) if isinstance(told, dict) else ""
    except (ValueError, RecursionError):
        return ""
    return code if CODE.fullmatch(code) else ""
