"""Signing in at MCP servers: going there, coming back, being forgotten; for the workspace or for oneself."""

import re
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
from workspaces.mcp_servers.oauth.metadata import Authorization, Client, Tokens, is_scope
from workspaces.mcp_servers.oauth.token_store import (
    bearer,
    client_of,
    expect_sign_in,
    forget_wanted_scope,
    note_refused_client,
    scope_to_ask_for,
    sealed_client,
    sealed_tokens,
)
from workspaces.mcp_servers.oauth.tokens import GrantRefused, exchange_code, introduce, revoke
from workspaces.mcp_servers.queries import find_server, lock_server, note_problem, note_tools
from workspaces.mcp_servers.urls import url_of

PENDING_MINUTES = 10
MOST_PENDING = 20  # of one person at one server
CODE = re.compile(r"[a-z_]{1,40}")  # of an error, as RFC 6749 has them
STRANGE_ANSWER = "The answer comes from another server than the one that was asked."
CLOSED = "This sign-in was used already, or began too long ago. Begin it again."
MEMBER, WORKSPACE = MCPServer.SignIn.MEMBER.value, MCPServer.SignIn.WORKSPACE.value


@dataclass(frozen=True, slots=True)
class SignInPlace:
    """A server at which somebody may sign in, as plain data."""

    id: UUID
    slug: str
    url: str = field(repr=False)
    transport: str
    client: Client | None
    scope: str = ""  # to ask for beside what it tells everybody


@dataclass(frozen=True, slots=True)
class Back:
    """With what the browser came back; all of it is a stranger's until the state is known."""

    code: str = field(default="", repr=False)
    error: str = ""
    issuer: str | None = None
    mark: str = ""  # of the address that it came back to


@dataclass(frozen=True, slots=True)
class Returned:
    """Where somebody came back from, taken from what was kept meanwhile."""

    server: SignInPlace
    authorization: Authorization
    verifier: str = field(repr=False)
    page: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """How it ended: the page to go back to, how many tools there are, and why they could not be listed."""

    slug: str
    page: str
    tools: int = 0
    problem: str = ""


async def begin_sign_in(*, principal: Principal, slug: str, page: str = "") -> str:
    """The address to which the person's browser goes; it opens nothing to anybody else.

    NotFound, Forbidden, Conflict for a server without a sign-in, McpSignInFailed, AddressRefused.
    """
    place = await in_tenant(principal.tenant, _open_place, principal=principal, slug=slug)
    found = await discover(place.url, place.transport)
    asked = replace(found, scope=_scope_to_ask_for(found.scope, place.scope))
    client = (place.client and place.client.at(found)) or await introduce(asked)
    pkce, secret = PKCEParameters.generate(), make_secret()
    kept = await in_tenant(
        principal.tenant,
        _keep_pending,
        principal=principal,
        place=place,
        authorization=found,
        client=client,
        pending={
            "state_hash": hash_of(secret),
            "sealed_verifier": seal(pkce.code_verifier),
            "scope": asked.scope,
            "back": page,
        },
    )
    state = f"{principal.tenant.slug}.{principal.workspace.slug}.{secret}"
    return asked.url(client=kept, state=state, challenge=pkce.code_challenge)


def _scope_to_ask_for(told: str, wanted: str) -> str:
    """Both, or only what the server tells everybody where that would be too long."""
    both = union_scopes(told, wanted) or ""
    return both if is_scope(both) else told


def _open_place(*, principal: Principal, slug: str) -> SignInPlace:
    row = find_server(place=principal, slug=slug)
    expect_sign_in(principal, row)
    return replace(_place_of(row), scope=scope_to_ask_for(row, principal.user_id))


def _place_of(row: MCPServer) -> SignInPlace:
    url, client = url_of(row), client_of(row)
    return SignInPlace(id=row.id, slug=row.slug, url=url, transport=row.transport, client=client)


@transaction.atomic
def _keep_pending(
    *,
    principal: Principal,
    place: SignInPlace,
    authorization: Authorization,
    client: Client,
    pending: dict[str, Any],
) -> Client:
    """Keeps what the way back needs. Of two who registered us at once the first counts."""
    row = lock_server(place.id)
    moved = row.authorization is not None and row.authorization["issuer"] != authorization.issuer
    if moved:
        row.sign_ins.all().delete()  # granted elsewhere, and not to be shown to anybody new
        row.pending_sign_ins.all().delete()
    known = client_of(row)
    kept = (known and known.at(authorization)) or client
    row.authorization, row.sealed_client = authorization.as_data(), sealed_client(kept)
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
    return kept


def split_state(state: str) -> tuple[str, str, str]:
    """Tenant, workspace and the secret; three times nothing for what is no state of ours."""
    parts = state.split(".")
    is_ours = len(parts) == 3 and all(SLUG.fullmatch(slug) for slug in parts[:2])
    return (parts[0], parts[1], parts[2]) if is_ours else ("", "", "")


async def finish_sign_in(*, principal: Principal, secret: str, back: Back) -> SignedIn:
    """Takes what was granted, keeps it and lists the tools. NotFound for a state that is not this person's,
    or no longer; McpSignInFailed with words for a person."""
    came = await in_tenant(principal.tenant, _take_pending, principal=principal, secret=secret)
    try:
        _check_answer(came, back)
    except McpSignInFailed:
        if back.error == "invalid_scope":
            whose = {"server_id": came.server.id, "user_id": principal.user_id}
            await in_tenant(principal.tenant, forget_wanted_scope, **whose)
        raise
    client = came.server.client and came.server.client.at(came.authorization)
    if client is None:
        raise NotFound(CLOSED)
    if back.mark != client.mark:
        raise McpSignInFailed(STRANGE_ANSWER)
    try:
        tokens = await exchange_code(came.authorization, client, code=back.code, verifier=came.verifier)
    except GrantRefused as refusal:
        await in_tenant(principal.tenant, note_refused_client, server_id=came.server.id, code=refusal.code)
        raise McpSignInFailed("The server did not accept the sign-in. Begin it again.") from refusal
    changes = await in_tenant(
        principal.tenant, _keep_sign_in, principal=principal, server_id=came.server.id, tokens=tokens
    )
    found, problem = 0, ""
    if changes:
        found, problem = await _look(principal, came.server, tokens)
    return SignedIn(slug=came.server.slug, page=came.page, tools=found, problem=problem)


async def _look(principal: Principal, place: SignInPlace, tokens: Tokens) -> tuple[int, str]:
    """How many tools the server shows to whoever signed in; or why it shows none."""
    try:
        offered = await list_tools(Address(place.url, place.transport, bearer(tokens.access)))
    except AtCapacity as problem:  # ours, and nothing to note about the server
        return 0, problem.text
    except DomainError as problem:
        await in_tenant(principal.tenant, note_problem, server_id=place.id, problem=problem.text)
        return 0, problem.text
    await in_tenant(principal.tenant, note_tools, server_id=place.id, offered=offered)
    return len(offered), ""


@transaction.atomic
def _take_pending(*, principal: Principal, secret: str) -> Returned:
    """Once: whoever comes second finds nothing."""
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
    return Returned(
        server=_place_of(server),
        authorization=replace(Authorization.from_data(server.authorization), scope=row.scope),
        verifier=verifier,
        page=row.back,
    )


def _check_answer(came: Returned, back: Back) -> None:
    """RFC 9207 first: what another server says, even of an error, is not for this sign-in."""
    authorization = came.authorization
    if back.issuer is None and authorization.tells_issuer:
        raise McpSignInFailed("The answer does not say which server it comes from.")
    if back.issuer is not None and back.issuer != authorization.issuer:
        raise McpSignInFailed(STRANGE_ANSWER)
    if back.error == "access_denied":
        raise McpSignInFailed(f"You did not allow it, so nobody is signed in at {came.server.slug}.")
    if back.error == "invalid_scope":
        raise McpSignInFailed("The server does not grant what it asked for. Sign in again, without it.")
    if back.error or not back.code:
        named = f" ({back.error})" if CODE.fullmatch(back.error) else ""
        raise McpSignInFailed(f"The server broke the sign-in off{named}.")


@transaction.atomic
def _keep_sign_in(*, principal: Principal, server_id: UUID, tokens: Tokens) -> bool:
    """Whether what the server shows now counts for everybody: at first, and to whoever may change it."""
    server = lock_server(server_id)
    now = find_in_or_above(  # asked again: the exchange took its time
        user_id=principal.user_id,
        tenant_slug=principal.tenant.slug,
        workspace_slug=principal.workspace.slug,
    )
    expect_sign_in(now, server)
    owner = principal.user_id if server.sign_in == MEMBER else None
    MCPSignIn.objects.update_or_create(
        server=server,
        user_id=owner,
        defaults={**sealed_tokens(tokens), "wanted_scope": "", "created_at": timezone.now()},
    )
    audit.record("mcp_server.signed_in", principal=principal, target=server.slug, for_whom=server.sign_in)
    return server.listed_at is None or may(principal, Action.MCPS_CHANGE)


async def forget_sign_in(*, principal: Principal, slug: str) -> None:
    """One's own, or by a manager the workspace's; the server is told too where it listens."""
    dropped = await in_tenant(principal.tenant, _drop_sign_in, principal=principal, slug=slug)
    if dropped is not None:
        await revoke(*dropped)


@transaction.atomic
def _drop_sign_in(*, principal: Principal, slug: str) -> tuple[Authorization, Client, str] | None:
    server = lock_server(find_server(place=principal, slug=slug).id)
    if server.sign_in == WORKSPACE:
        expect(principal, Action.MCPS_CHANGE)
    else:  # anyone ends their own, also when they may no longer chat
        expect(principal, Action.MCPS_SIGN_IN)
    owner = principal.user_id if server.sign_in == MEMBER else None
    row = server.sign_ins.filter(user_id=owner).first()
    if row is None:
        raise NotFound("Nobody is signed in there.")
    row.delete()
    audit.record("mcp_server.signed_out", principal=principal, target=server.slug, for_whom=server.sign_in)
    client = client_of(server)
    sealed = row.sealed_refresh or row.sealed_access
    if client is None or server.authorization is None or not sealed:
        return None
    return Authorization.from_data(server.authorization), client, unseal(sealed)
