"""Refreshes servers' tools, on request or every few hours, and notes servers that fail."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Tenant
from accounts.principals import Principal
from kit.errors import AtCapacity, DomainError, NotFound
from kit.secrets import SecretUnreadable
from kit.tenancy import TenantRef, in_public, in_tenant
from workspaces.errors import McpServerFailed, McpSignInNeeded
from workspaces.mcp_servers.client import list_tools
from workspaces.mcp_servers.connection import reach
from workspaces.mcp_servers.models import MCPServer
from workspaces.mcp_servers.queries import address_of
from workspaces.mcp_servers.tool_store import note_problem, note_seen, note_tools

log = structlog.get_logger(__name__)
EVERY = timedelta(hours=6)
MOST_SERVERS = 200  # of one run
MOST_OF_A_TENANT = 20  # so that a tenant with many servers does not delay the others
CONCURRENT = 4
KEY_UNREADABLE = "The saved key cannot be read."


async def refresh_tools(*, principal: Principal, server_id: UUID) -> int:
    """On a person's request: stores what the server offers and returns the number of tools.

    A failure is both stored and raised.
    """
    tenant = principal.tenant
    try:
        offered = await reach(tenant=tenant, server_id=server_id, user_id=principal.user_id, work=list_tools)
    except AtCapacity:  # a limit of ours, not the server's problem
        raise
    except SecretUnreadable as problem:
        await in_tenant(tenant, note_problem, server_id=server_id, problem=KEY_UNREADABLE)
        raise McpServerFailed(KEY_UNREADABLE) from problem
    except DomainError as problem:
        if "how" not in problem.details:  # a missing sign-in is a person's problem, not the server's
            await in_tenant(tenant, note_problem, server_id=server_id, problem=problem.text)
        raise
    await in_tenant(tenant, note_tools, server_id=server_id, offered=offered)
    return len(offered)


async def check_due_servers() -> int:
    """Returns how many servers were checked. Tenants are shuffled, so that none is always last."""
    tenants = await in_public(_tenants)
    random.shuffle(tenants)
    slots, checked = asyncio.Semaphore(CONCURRENT), 0
    for tenant in tenants:
        due = await in_tenant(tenant, due_servers, most=min(MOST_OF_A_TENANT, MOST_SERVERS - checked))
        await asyncio.gather(*(_check_in_slot(slots, tenant, *server) for server in due))
        checked += len(due)
        if checked >= MOST_SERVERS:
            break
    return checked


def _tenants() -> list[TenantRef]:
    return [tenant.ref for tenant in Tenant.objects.active()]


def due_servers(*, most: int) -> list[tuple[UUID, bool]]:
    """Enabled servers whose last check is old, the oldest first, and whether each member signs in."""
    before = timezone.now() - EVERY
    rows = MCPServer.objects.enabled().filter(Q(checked_at__lt=before) | Q(checked_at=None))
    ordered = rows.order_by(F("checked_at").asc(nulls_first=True))[:most]
    return [(row.id, row.sign_in == MCPServer.SignIn.MEMBER) for row in ordered]


async def _check_in_slot(
    slots: asyncio.Semaphore, tenant: TenantRef, server_id: UUID, is_members: bool
) -> None:
    async with slots:
        try:
            await check_server(tenant=tenant, server_id=server_id, is_members=is_members)
        except (NotFound, AtCapacity):
            return  # removed meanwhile, or not checked and so soon due again
        except Exception:  # must not stop the check of the other servers
            log.exception("MCP server could not be checked", server_id=str(server_id))
            await in_tenant(tenant, note_problem, server_id=server_id, problem="The check failed.")


async def check_server(*, tenant: TenantRef, server_id: UUID, is_members: bool) -> None:
    """Stores what the server offers now, or its problem.

    A member's own sign-in is never used in their absence: a server with only those is healthy if it asks for
    a sign-in.
    """
    try:
        if is_members:
            address = await in_tenant(tenant, address_of, server_id=server_id)
            await list_tools(address)
            await in_tenant(tenant, note_seen, server_id=server_id)
            return
        offered = await reach(tenant=tenant, server_id=server_id, user_id=None, work=list_tools)
    except McpSignInNeeded as problem:
        if is_members:
            await in_tenant(tenant, note_seen, server_id=server_id)
        else:
            await in_tenant(tenant, note_problem, server_id=server_id, problem=problem.text)
    except (NotFound, AtCapacity):
        raise
    except SecretUnreadable:
        await in_tenant(tenant, note_problem, server_id=server_id, problem=KEY_UNREADABLE)
    except DomainError as problem:
        await in_tenant(tenant, note_problem, server_id=server_id, problem=problem.text)
    else:
        await in_tenant(tenant, note_tools, server_id=server_id, offered=offered)
