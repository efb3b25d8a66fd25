"""Reaches a server as somebody: with the key or the sign-in that is theirs, renewed where it has to be.

Of all that need a sign-in renewed at the same moment, in whatever process, one does it: many servers take a
refresh token once, and a second use would end the whole grant.
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
from workspaces.mcp_servers.oauth.metadata import Authorization, Client, Tokens
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
from workspaces.mcp_servers.oauth.tokens import GrantRefused, refresh
from workspaces.mcp_servers.queries import address_of
from workspaces.mcp_servers.urls import url_of

T = TypeVar("T")
EARLY = timedelta(seconds=30)  # before it expires a token is renewed
LOOK_AGAIN_SECONDS = 0.1  # while another renews it
FINAL = {"invalid_grant", "invalid_client", "unauthorized_client", "unsupported_grant_type"}
ENDED = "The server ended the sign-in: sign in again."


@dataclass(frozen=True, slots=True)
class Access:
    """How somebody reaches a server; `sign_in_id` where by a sign-in, `sealed` as which it was read."""

    address: Address
    slug: str = ""
    how: str = ""
    sign_in_id: UUID | None = None
    sealed: str = field(default="", repr=False)
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """All that a refresh needs; whoever holds it is the one who refreshes."""

    sign_in_id: UUID
    server_id: UUID
    authorization: Authorization
    client: Client
    before: Tokens
    sealed: str = field(repr=False)  # the access token as it is kept


async def reach(
    *, tenant: TenantRef, server_id: UUID, user_id: UUID | None, work: Callable[[Address], Awaitable[T]]
) -> T:
    """Runs `work`; where the server refuses the sign-in before it ran anything, it is renewed and run again.

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
    """Raises McpSignInNeeded in its place where a sign-in has to ask for a further permission."""
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
    """Where and as whom the server is reached for this person. `refused` is an address that it just refused:
    then another one, if there can be. McpSignInNeeded, McpSignInFailed, NotFound."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + settings.MCP_CONNECT_SECONDS * 2
    while True:
        access = await in_tenant(tenant, read_access, server_id=server_id, user_id=user_id)
        if access.sign_in_id is None or not (access.is_stale or access.address == refused):
            return access.address
        renewal = await in_tenant(tenant, claim_renewal, sign_in_id=access.sign_in_id, sealed=access.sealed)
        if renewal is not None:
            tokens = await unbroken(_renew(tenant, access, renewal))
            return Address(access.address.url, access.address.transport, bearer(tokens.access))
        if loop.time() > patience:
            raise McpSignInFailed("The sign-in is being renewed, which takes too long.")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def read_access(*, server_id: UUID, user_id: UUID | None) -> Access:
    """As it is kept. McpSignInNeeded where nobody is signed in."""
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
    """The right to refresh, for as long as a refresh may take; None while another has it or after they did.

    McpSignInNeeded where there is nothing to refresh it with: then it has ended.
    """
    lease = timedelta(seconds=settings.MCP_CONNECT_SECONDS + 5)
    free = Q(refreshing_until=None) | Q(refreshing_until__lt=Now())
    mine = MCPSignIn.objects.filter(free, id=sign_in_id, sealed_access=sealed, problem="")
    if not mine.update(refreshing_until=Now() + lease):
        return None
    row = MCPSignIn.objects.select_related("server").filter(id=sign_in_id).first()
    if row is None:  # forgotten meanwhile
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
    """Not to be broken off: a new refresh token that nobody kept is the end of the sign-in."""
    try:
        tokens = await refresh(renewal.authorization, renewal.client, renewal.before)
    except GrantRefused as refusal:
        if refusal.code not in FINAL:
            await in_tenant(tenant, release_renewal, sign_in_id=renewal.sign_in_id)
            raise McpSignInFailed("The server did not renew the sign-in.") from refusal
        sign_in_id, sealed = renewal.sign_in_id, renewal.sealed
        await in_tenant(tenant, end_sign_in, sign_in_id=sign_in_id, sealed=sealed, problem=ENDED)
        await in_tenant(tenant, note_refused_client, server_id=renewal.server_id, code=refusal.code)
        raise sign_in_needed(access.slug, access.how) from refusal
    except BaseException:
        await in_tenant(tenant, release_renewal, sign_in_id=renewal.sign_in_id)
        raise
    await in_tenant(tenant, keep_renewal, renewal=renewal, tokens=tokens)
    return tokens


def release_renewal(*, sign_in_id: UUID) -> None:
    MCPSignIn.objects.filter(id=sign_in_id).update(refreshing_until=None)


def keep_renewal(*, renewal: Renewal, tokens: Tokens) -> None:
    """Nothing where the sign-in was forgotten or begun anew meanwhile."""
    with transaction.atomic():
        row = MCPSignIn.objects.select_for_update().filter(id=renewal.sign_in_id).first()
        if row is not None and row.sealed_refresh and unseal(row.sealed_refresh) == renewal.before.refresh:
            MCPSignIn.objects.filter(id=row.id).update(**sealed_tokens(tokens))
