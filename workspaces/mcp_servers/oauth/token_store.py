"""What is kept of sign-ins at MCP servers: who we are there, what was granted to whom, what still opens."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from mcp.client.auth.utils import union_scopes

from accounts.policy import Action, expect, may
from accounts.principals import Principal
from kit.errors import Conflict, DomainError, InvalidInput
from kit.secrets import seal, unseal
from workspaces.errors import McpSignInNeeded
from workspaces.mcp_servers.models import MCPServer, MCPSignIn, PendingSignIn
from workspaces.mcp_servers.oauth.metadata import (
    PLAIN,
    Authorization,
    Client,
    Tokens,
    is_plain,
    is_scope,
)

MEMBER, WORKSPACE = MCPServer.SignIn.MEMBER.value, MCPServer.SignIn.WORKSPACE.value


def sign_in_needed(slug: str, how: str) -> McpSignInNeeded:
    return McpSignInNeeded(f"{_who_has(how)} to sign in at {slug} first.", mcp=slug, how=how)


def _who_has(how: str) -> str:
    return "You have" if how == MEMBER else "A manager of the workspace has"


@transaction.atomic
def note_wanted_scope(
    *, server_id: UUID, user_id: UUID | None, headers: dict[str, str], scope: str
) -> McpSignInNeeded | None:
    """Keeps what the server wants beside, for the next sign-in to ask for; returns what to tell of it. None
    where nobody signs in, or somebody has signed in anew since those headers were refused."""
    server = MCPServer.objects.installed().filter(id=server_id).first()
    row = find_sign_in(server, user_id, is_locked=True) if server is not None else None
    if server is None or row is None or bearer(unseal(row.sealed_access)) != headers:
        return None
    wanted = union_scopes(row.wanted_scope, scope) or ""
    row.wanted_scope = wanted if is_scope(wanted) else scope
    row.save(update_fields=["wanted_scope"])
    who = _who_has(server.sign_in)
    text = f"{who} to sign in at {server.slug} anew: it wants a further permission for this ({scope[:200]})."
    return McpSignInNeeded(text, mcp=server.slug, how=server.sign_in, scope=scope)


def forget_wanted_scope(*, server_id: UUID, user_id: UUID) -> None:
    """The authorization server grants it to nobody: the next sign-in is without it."""
    server = MCPServer.objects.filter(id=server_id).first()
    row = find_sign_in(server, user_id) if server is not None else None
    if row is not None:
        MCPSignIn.objects.filter(id=row.id).update(wanted_scope="")


def scope_to_ask_for(server: MCPServer, user_id: UUID) -> str:
    """Where the server wanted more than was granted: both. Else nothing in particular."""
    row = find_sign_in(server, user_id)
    if row is None or not row.wanted_scope:
        return ""
    return union_scopes(row.scope, row.wanted_scope) or ""


def expect_sign_in(principal: Principal, server: MCPServer) -> None:
    """Whoever chats signs in for themselves, a manager for the workspace; also to try what they install."""
    if server.auth != MCPServer.Auth.OAUTH:
        raise Conflict("Nobody signs in at this server.")
    if server.sign_in == WORKSPACE:
        expect(principal, Action.MCPS_CHANGE)
    elif not may(principal, Action.MCPS_CHANGE):
        expect(principal, Action.CHAT)


def may_sign_in(principal: Principal, server: MCPServer) -> bool:
    try:
        expect_sign_in(principal, server)
    except DomainError:
        return False
    return True


def client_of(server: MCPServer) -> Client | None:
    """Who we are at its authorization server; None as long as it does not know us."""
    return Client(**json.loads(unseal(server.sealed_client))) if server.sealed_client else None


def address_to_register(server: MCPServer) -> str:
    """Where browsers come back to from it, for whoever registers us by hand; empty where nobody does."""
    client = client_of(server)
    if client is None or not client.is_typed or server.authorization is None:
        return ""
    known = client.at(Authorization.from_data(server.authorization))
    return known.redirect_uri if known else ""


def sealed_client(client: Client) -> str:
    return seal(json.dumps(asdict(client)))


def with_secret(server: MCPServer, secret: str) -> str:
    """The client that a manager registered by hand, sealed with its new secret."""
    client = client_of(server)
    if client is None or not client.is_typed:
        raise InvalidInput(client_secret=["Nobody was registered at this server by hand."])
    if not secret or not is_plain(secret):
        raise InvalidInput(client_secret=[PLAIN])
    return sealed_client(replace(client, client_secret=secret))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sealed_tokens(tokens: Tokens) -> dict[str, Any]:
    """As an MCPSignIn's fields; whoever keeps new ones has refreshed it."""
    return {
        "sealed_access": seal(tokens.access),
        "sealed_refresh": seal(tokens.refresh) if tokens.refresh else "",
        "expires_at": tokens.expires_at,
        "scope": tokens.scope,
        "refreshing_until": None,
        "problem": "",
    }


def note_refused_client(*, server_id: UUID, code: str) -> None:
    """The server knows us no longer: the next sign-in makes us known again. What a manager typed stays."""
    if code != "invalid_client":
        return
    with transaction.atomic():
        row = MCPServer.objects.select_for_update().filter(id=server_id).first()
        client = client_of(row) if row is not None else None
        if client is not None and not client.is_typed:
            MCPServer.objects.filter(id=server_id).update(sealed_client="")


def missing_sign_ins(servers: Iterable[MCPServer], user_id: UUID) -> set[UUID]:
    """Those at which nobody is signed in for this person; one query where any asks for a sign-in."""
    asking = {row.id for row in servers if row.auth == MCPServer.Auth.OAUTH}
    if not asking:
        return set()
    rows = MCPSignIn.objects.filter(server__in=asking)
    theirs = rows.filter(
        Q(user_id=None, server__sign_in=WORKSPACE) | Q(user_id=user_id, server__sign_in=MEMBER)
    )
    return asking - {row.server_id for row in theirs if row.is_usable}


def forget_member(*, workspace_id: UUID, user_id: UUID) -> None:
    """Somebody has left the workspace: what they were granted is deleted."""
    MCPSignIn.objects.filter(server__workspace_id=workspace_id, user_id=user_id).delete()
    PendingSignIn.objects.filter(server__workspace_id=workspace_id, user_id=user_id).delete()


def find_sign_in(server: MCPServer, user_id: UUID | None, *, is_locked: bool = False) -> MCPSignIn | None:
    """The workspace's, or this person's."""
    rows = server.sign_ins.select_for_update() if is_locked else server.sign_ins.all()
    if server.sign_in == WORKSPACE:
        return rows.filter(user_id=None).first()
    return rows.filter(user_id=user_id).first() if server.sign_in and user_id is not None else None


def end_sign_in(*, sign_in_id: UUID, sealed: str, problem: str) -> None:
    """Its tokens go, unless they are others by now; why they did stays, for whoever signs in again."""
    MCPSignIn.objects.filter(id=sign_in_id, sealed_access=sealed).update(
        sealed_access="", sealed_refresh="", expires_at=None, refreshing_until=None, problem=problem
    )
