"""Connects to a server with its key or a person's sign-in, which is refreshed when necessary.

If several callers, in any process, need the same refresh, one of them does it: many servers accept a refresh
token once, and a second use would end the whole grant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from kit.errors import NotFound
from kit.secrets import unseal
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from workspaces.errors import McpSignInFailed, McpSignInNeeded
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.models import MCPServer, MCPSignIn
from workspaces.mcp_servers.oauth.metadata import Authorization
from workspaces.mcp_servers.oauth.registration import Client
from workspaces.mcp_servers.oauth.token_store import (
    bearer,
    client_of,
    end_sign_in,
    find_sign_in,
    note_refused_client,
    note_wanted_scope,
    sealed_tokens,
    sign_in_needed,
)
from workspaces.mcp_servers.oauth.tokens import GrantRefused, Tokens, refresh
from workspaces.mcp_servers.queries import address_of
from workspaces.mcp_servers.urls import url_of

T = TypeVar("T")
EARLY = timedelta(seconds=30)  # how long before its expiry a token is refreshed
POLL_SECONDS = 0.1  # while another caller refreshes it
FINAL_CODES = {"invalid_grant", "invalid_client", "unauthorized_client", "unsupported_grant_type"}
ENDED = "The server ended the sign-in. Sign in again."


@dataclass(frozen=True, slots=True)
class Access:
    """Address and credentials for one person. `sealed` is the access token as stored, if by a sign-in."""

    address: Address
    slug: str = ""
    how: str = ""
    sign_in_id: UUID | None = None
    sealed: str = field(default="", repr=False)
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """The data for a refresh. Only the caller that claimed it may refresh."""

    sign_in_id: UUID
    server_id: UUID
    authorization: Authorization
    client: Client
    before: Tokens
    sealed: str = field(repr=False)  # the access token as stored


async def reach(
    *, tenant: TenantRef, server_id: UUID, user_id: UUID | None, work: Callable[[Address], Awaitable[T]]
) -> T:
    """Runs `work`. If the server refuses the sign-in before doing anything, refreshes it and tries once more.

    McpSignInNeeded, McpSignInFailed, NotFound, and what `work` raises.
    """
    address = await address_for(tenant=tenant, server_id=server_id, user_id=user_id)
    try:
        return await work(address)
    except McpSignInNeeded as refusal:
        if not refusal.did_no_work:
            await _note_refusal(refusal, tenant, server_id, user_id, address)
            raise
        again = await address_for(tenant=tenant, server_id=server_id, user_id=user_id, refused=address)
        if again == address:
            raise
    try:
        return await work(again)
    except McpSignInNeeded as refusal:
        await _note_refusal(refusal, tenant, server_id, user_id, again)
        raise


async def _note_refusal(
    refusal: McpSignInNeeded, tenant: TenantRef, server_id: UUID, user_id: UUID | None, address: Address
) -> None:
    """Stores the additional scope that the server requires, if any, and raises McpSignInNeeded with it."""
    if not refusal.wanted_scope:
        return
    needed = await in_tenant(
        tenant,
        note_wanted_scope,
        server_id=server_id,
        user_id=user_id,
        headers=address.headers,
        scope=refusal.wanted_scope,
    )
    if needed is not None:
        raise needed from refusal


async def address_for(
    *, tenant: TenantRef, server_id: UUID, user_id: UUID | None, refused: Address | None = None
) -> Address:
    """The server's address with this person's credentials, refreshed if they expired or equal `refused`.

    McpSignInNeeded, McpSignInFailed, NotFound.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.MCP_CONNECT_SECONDS * 2
    while True:
        access = await in_tenant(tenant, read_access, server_id=server_id, user_id=user_id)
        if access.sign_in_id is None or not (access.is_stale or access.address == refused):
            return access.address
        renewal = await in_tenant(tenant, claim_renewal, sign_in_id=access.sign_in_id, sealed=access.sealed)
        if renewal is not None:
            tokens = await unbroken(_renew(tenant, access, renewal))
            return Address(access.address.url, access.address.transport, bearer(tokens.access))
        if loop.time() > deadline:
            raise McpSignInFailed("Renewing the sign-in took too long. Try again.")
        await asyncio.sleep(POLL_SECONDS)


def read_access(*, server_id: UUID, user_id: UUID | None) -> Access:
    """As stored. McpSignInNeeded without a usable sign-in."""
    server = MCPServer.objects.installed().filter(id=server_id).first()
    if server is None:
        raise NotFound
    if server.auth != MCPServer.Auth.OAUTH:
        return Access(address_of(server_id=server_id))
    row = find_sign_in(server, user_id)
    if row is None or not row.is_usable:
        raise sign_in_needed(server.slug, server.sign_in)
    expires_soon = row.expires_at is not None and row.expires_at < timezone.now() + EARLY
    return Access(
        Address(url_of(server), server.transport, bearer(unseal(row.sealed_access))),
        slug=server.slug,
        how=server.sign_in,
        sign_in_id=row.id,
        sealed=row.sealed_access,
        is_stale=expires_soon and bool(row.sealed_refresh),
    )


def claim_renewal(*, sign_in_id: UUID, sealed: str) -> Renewal | None:
    """A lease for one refresh; None if another caller holds it or has refreshed already.

    McpSignInNeeded if there is no refresh token: then the sign-in has ended.
    """
    lease = timedelta(seconds=settings.MCP_CONNECT_SECONDS + 5)
    free = Q(refreshing_until=None) | Q(refreshing_until__lt=Now())
    mine = MCPSignIn.objects.filter(free, id=sign_in_id, sealed_access=sealed, problem="")
    if not mine.update(refreshing_until=Now() + lease):
        return None
    row = MCPSignIn.objects.select_related("server").filter(id=sign_in_id).first()
    if row is None:  # signed out meanwhile
        return None
    client = client_of(row.server)
    if not row.sealed_refresh or client is None or row.server.authorization is None:
        end_sign_in(sign_in_id=sign_in_id, sealed=sealed, problem=ENDED)
        raise sign_in_needed(row.server.slug, row.server.sign_in)
    return Renewal(
        sign_in_id=row.id,
        server_id=row.server_id,
        authorization=Authorization.from_data(row.server.authorization),
        client=client,
        before=Tokens(unseal(row.sealed_access), unseal(row.sealed_refresh), scope=row.scope),
        sealed=sealed,
    )


async def _renew(tenant: TenantRef, access: Access, renewal: Renewal) -> Tokens:
    """Must not be cancelled: if a new refresh token is not stored, the sign-in is lost."""
    try:
        tokens = await refresh(renewal.authorization, renewal.client, renewal.before)
    except GrantRefused as refusal:
        if refusal.code not in FINAL_CODES:
            await in_tenant(tenant, release_renewal, sign_in_id=renewal.sign_in_id)
            raise McpSignInFailed("The server did not renew the sign-in.") from refusal
        sign_in_id, sealed = renewal.sign_in_id, renewal.sealed
        await in_tenant(tenant, end_sign_in, sign_in_id=sign_in_id, sealed=sealed, problem=ENDED)
        await in_tenant(tenant, note_refused_client, server_id=renewal.server_id, code=refusal.code)
        raise sign_in_needed(access.slug, access.how) from refusal
    except BaseException:
        await in_tenant(tenant, release_renewal, sign_in_id=renewal.sign_in_id)
        raise
    await in_tenant(tenant, store_renewal, renewal=renewal, tokens=tokens)
    return tokens


def release_renewal(*, sign_in_id: UUID) -> None:
    MCPSignIn.objects.filter(id=sign_in_id).update(refreshing_until=None)


def store_renewal(*, renewal: Renewal, tokens: Tokens) -> None:
    """Does nothing if there was a sign-out or a new sign-in meanwhile."""
    with transaction.atomic():
        row = MCPSignIn.objects.select_for_update().filter(id=renewal.sign_in_id).first()
        if row is not None and row.sealed_refresh and unseal(row.sealed_refresh) == renewal.before.refresh:
            MCPSignIn.objects.filter(id=row.id).update(**sealed_tokens(tokens))
