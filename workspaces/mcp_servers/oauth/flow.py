"""Signing in at MCP servers: begin, finish after the redirect, and sign out; per workspace or per member."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from mcp.client.auth import PKCEParameters
from mcp.client.auth.utils import union_scopes

from accounts.audit import services as audit
from accounts.keys.bearer_secrets import SLUG, hash_of, make_secret
from accounts.policy import Action, expect, may
from accounts.principals import Principal, find_in_or_above
from kit.errors import AtCapacity, DomainError, NotFound
from kit.secrets import seal, unseal
from kit.tenancy import in_tenant
from workspaces.errors import McpSignInFailed
from workspaces.mcp_servers.client import Address, list_tools
from workspaces.mcp_servers.models import MCPServer, MCPSignIn, PendingSignIn
from workspaces.mcp_servers.oauth.discovery import discover
from workspaces.mcp_servers.oauth.metadata import Authorization, checked_error_code, is_scope
from workspaces.mcp_servers.oauth.registration import Client, identify
from workspaces.mcp_servers.oauth.token_store import (
    MEMBER,
    WORKSPACE,
    additional_scope,
    bearer,
    client_of,
    expect_sign_in,
    forget_wanted_scope,
    note_refused_client,
    sealed_client,
    sealed_tokens,
)
from workspaces.mcp_servers.oauth.tokens import GrantRefused, Tokens, exchange_code, revoke
from workspaces.mcp_servers.queries import find_server, lock_server
from workspaces.mcp_servers.tool_store import note_problem, note_tools
from workspaces.mcp_servers.urls import url_of

PENDING_MINUTES = 10
MOST_PENDING = 20  # of one person at one server
WRONG_ISSUER = "The response came from a different server."
CLOSED = "This sign-in was already used or has expired. Start again."


@dataclass(frozen=True, slots=True)
class SignInServer:
    """A server with a sign-in, as plain data."""

    id: UUID
    slug: str
    url: str = field(repr=False)
    transport: str
    client: Client | None
    additional_scope: str = ""  # to request besides the scope in its metadata


@dataclass(frozen=True, slots=True)
class Callback:
    """Untrusted OAuth callback parameters."""

    code: str = field(default="", repr=False)
    error: str = ""
    issuer: str | None = None
    issuer_digest: str = ""  # in the redirect URI that was used


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """The pending sign-in that a callback's state belongs to."""

    server: SignInServer
    authorization: Authorization
    verifier: str = field(repr=False)
    page: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The result: the page to return to, the number of tools, and why they could not be listed."""

    slug: str
    page: str
    tools: int = 0
    problem: str = ""


async def begin_sign_in(*, principal: Principal, slug: str, page: str = "") -> str:
    """The authorization URL to open in the person's browser; only this person can complete the sign-in.

    NotFound, Forbidden, Conflict for a server without a sign-in, McpSignInFailed, AddressRefused.
    """
    server = await in_tenant(principal.tenant, _find_server, principal=principal, slug=slug)
    found = await discover(server.url, server.transport)
    requested = replace(found, scope=_requested_scope(found.scope, server.additional_scope))
    client = (server.client and server.client.at(found)) or await identify(requested)
    pkce, secret = PKCEParameters.generate(), make_secret()
    stored = await in_tenant(
        principal.tenant,
        _store_pending,
        principal=principal,
        server_id=server.id,
        authorization=found,
        client=client,
        pending={
            "state_hash": hash_of(secret),
            "sealed_verifier": seal(pkce.code_verifier),
            "scope": requested.scope,
            "back": page,
        },
    )
    return requested.url(
        client_id=stored.client_id,
        redirect_uri=stored.redirect_uri,
        state=f"{principal.tenant.slug}.{principal.workspace.slug}.{secret}",
        challenge=pkce.code_challenge,
    )


def _requested_scope(scope: str, additional: str) -> str:
    """Both, or only the metadata's scope if both together are too long."""
    both = union_scopes(scope, additional) or ""
    return both if is_scope(both) else scope


def _find_server(*, principal: Principal, slug: str) -> SignInServer:
    row = find_server(principal=principal, slug=slug)
    expect_sign_in(principal, row)
    return replace(_as_data(row), additional_scope=additional_scope(row, principal.user_id))


def _as_data(row: MCPServer) -> SignInServer:
    url, client = url_of(row), client_of(row)
    return SignInServer(id=row.id, slug=row.slug, url=url, transport=row.transport, client=client)


@transaction.atomic
def _store_pending(
    *,
    principal: Principal,
    server_id: UUID,
    authorization: Authorization,
    client: Client,
    pending: dict[str, Any],
) -> Client:
    """Returns the stored client: if two sign-ins registered us concurrently, the first one's."""
    row = lock_server(server_id)
    has_moved = row.authorization is not None and row.authorization["issuer"] != authorization.issuer
    if has_moved:
        row.sign_ins.all().delete()  # granted by another issuer, and not to be sent to the new one
        row.pending_sign_ins.all().delete()
    known = client_of(row)
    stored = (known and known.at(authorization)) or client
    row.authorization, row.sealed_client = authorization.as_data(), sealed_client(stored)
    row.save(update_fields=["authorization", "sealed_client"])
    PendingSignIn.objects.filter(expires_at__lte=timezone.now()).delete()
    mine = row.pending_sign_ins.filter(user_id=principal.user_id).order_by("-expires_at")
    mine.filter(id__in=list(mine.values_list("id", flat=True)[MOST_PENDING - 1 :])).delete()
    PendingSignIn.objects.create(
        server=row,
        user_id=principal.user_id,
        issuer=authorization.issuer,
        expires_at=timezone.now() + timedelta(minutes=PENDING_MINUTES),
        **pending,
    )
    return stored


def split_state(state: str) -> tuple[str, str, str]:
    """Tenant slug, workspace slug and secret; three empty strings for a state that is not ours."""
    parts = state.split(".")
    is_ours = len(parts) == 3 and all(SLUG.fullmatch(slug) for slug in parts[:2])
    return (parts[0], parts[1], parts[2]) if is_ours else ("", "", "")


async def finish_sign_in(*, principal: Principal, secret: str, callback: Callback) -> SignedIn:
    """Exchanges the code, stores the tokens and lists the tools.

    NotFound for a state that is unknown, expired or another person's; McpSignInFailed with a text for people.
    """
    begun = await in_tenant(principal.tenant, _take_pending, principal=principal, secret=secret)
    try:
        _check_callback(begun, callback)
    except McpSignInFailed:
        if callback.error == "invalid_scope":
            owner = {"server_id": begun.server.id, "user_id": principal.user_id}
            await in_tenant(principal.tenant, forget_wanted_scope, **owner)
        raise
    client = begun.server.client and begun.server.client.at(begun.authorization)
    if client is None:
        raise NotFound(CLOSED)
    if callback.issuer_digest != client.issuer_digest:
        raise McpSignInFailed(WRONG_ISSUER)
    try:
        tokens = await exchange_code(begun.authorization, client, code=callback.code, verifier=begun.verifier)
    except GrantRefused as refusal:
        await in_tenant(principal.tenant, note_refused_client, server_id=begun.server.id, code=refusal.code)
        raise McpSignInFailed("The server did not accept the sign-in. Start again.") from refusal
    updates_tools = await in_tenant(
        principal.tenant, _store_sign_in, principal=principal, server_id=begun.server.id, tokens=tokens
    )
    tools, problem = await _list_tools(principal, begun.server, tokens) if updates_tools else (0, "")
    return SignedIn(slug=begun.server.slug, page=begun.page, tools=tools, problem=problem)


async def _list_tools(principal: Principal, server: SignInServer, tokens: Tokens) -> tuple[int, str]:
    """Stores the tools that the server offers this person: their number, or the problem."""
    try:
        offered = await list_tools(Address(server.url, server.transport, bearer(tokens.access)))
    except AtCapacity as problem:  # a limit of ours, not the server's problem
        return 0, problem.text
    except DomainError as problem:
        await in_tenant(principal.tenant, note_problem, server_id=server.id, problem=problem.text)
        return 0, problem.text
    await in_tenant(principal.tenant, note_tools, server_id=server.id, offered=offered)
    return len(offered), ""


@transaction.atomic
def _take_pending(*, principal: Principal, secret: str) -> BegunSignIn:
    """Deletes the pending sign-in, so that a state works only once."""
    row = (
        PendingSignIn.objects.select_for_update(of=("self",))
        .select_related("server")
        .filter(
            state_hash=hash_of(secret),
            user_id=principal.user_id,
            expires_at__gt=timezone.now(),
            server__in=MCPServer.objects.installed().in_workspace(principal.workspace.id),
        )
        .first()
    )
    if row is None:
        raise NotFound(CLOSED)
    server, verifier = row.server, unseal(row.sealed_verifier)
    row.delete()
    expect_sign_in(principal, server)
    if server.authorization is None or server.authorization["issuer"] != row.issuer:
        raise NotFound(CLOSED)
    return BegunSignIn(
        server=_as_data(server),
        authorization=replace(Authorization.from_data(server.authorization), scope=row.scope),
        verifier=verifier,
        page=row.back,
    )


def _check_callback(begun: BegunSignIn, callback: Callback) -> None:
    """The issuer first (RFC 9207): another server's response, even an error, is not for this sign-in."""
    authorization = begun.authorization
    if callback.issuer is None and authorization.tells_issuer:
        raise McpSignInFailed("The response does not name the server it comes from.")
    if callback.issuer is not None and callback.issuer != authorization.issuer:
        raise McpSignInFailed(WRONG_ISSUER)
    if callback.error == "access_denied":
        raise McpSignInFailed(f"You did not allow access, so you are not signed in to {begun.server.slug}.")
    if callback.error == "invalid_scope":
        raise McpSignInFailed("The server did not grant the additional permission. Sign in again without it.")
    if callback.error or not callback.code:
        code = checked_error_code(callback.error)
        named = f" ({code})" if code else ""
        raise McpSignInFailed(f"The server cancelled the sign-in{named}.")


@transaction.atomic
def _store_sign_in(*, principal: Principal, server_id: UUID, tokens: Tokens) -> bool:
    """Whether to store the tools that the server now lists: the first time, and for managers."""
    server = lock_server(server_id)
    current = find_in_or_above(  # rights may have changed during the exchange
        user_id=principal.user_id,
        tenant_slug=principal.tenant.slug,
        workspace_slug=principal.workspace.slug,
    )
    expect_sign_in(current, server)
    owner = principal.user_id if server.sign_in == MEMBER else None
    MCPSignIn.objects.update_or_create(
        server=server,
        user_id=owner,
        defaults={**sealed_tokens(tokens), "wanted_scope": "", "created_at": timezone.now()},
    )
    audit.record("mcp_server.signed_in", principal=principal, target=server.slug, for_whom=server.sign_in)
    return server.listed_at is None or may(principal, Action.MCPS_CHANGE)


async def sign_out(*, principal: Principal, slug: str) -> None:
    """Deletes one's own sign-in, or as a manager the workspace's, and revokes its token at the server."""
    deleted = await in_tenant(principal.tenant, _delete_sign_in, principal=principal, slug=slug)
    if deleted is not None:
        await revoke(*deleted)


@transaction.atomic
def _delete_sign_in(*, principal: Principal, slug: str) -> tuple[Authorization, Client, str] | None:
    """The data for revoking its token; None if that is impossible."""
    server = lock_server(find_server(principal=principal, slug=slug).id)
    if server.sign_in == WORKSPACE:
        expect(principal, Action.MCPS_CHANGE)
    else:  # members can end their own, even if they may no longer chat
        expect(principal, Action.MCPS_SIGN_IN)
    owner = principal.user_id if server.sign_in == MEMBER else None
    row = server.sign_ins.filter(user_id=owner).first()
    if row is None:
        raise NotFound("There is no sign-in at this server.")
    row.delete()
    audit.record("mcp_server.signed_out", principal=principal, target=server.slug, for_whom=server.sign_in)
    client = client_of(server)
    sealed = row.sealed_refresh or row.sealed_access
    if client is None or server.authorization is None or not sealed:
        return None
    return Authorization.from_data(server.authorization), client, unseal(sealed)
