"""Looks again at servers, asked to or after a while: whether they answer, and with the tools they had."""

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
from workspaces.mcp_servers.queries import address_of, note_problem, note_seen, note_tools

log = structlog.get_logger(__name__)
EVERY = timedelta(hours=6)
MOST_LOOKS = 200  # of one run
MOST_OF_A_TENANT = 20  # so that one with many servers does not keep the others waiting
AT_ONCE = 4
KEY_UNREADABLE = "Its key cannot be read."


async def look_again(*, principal: Principal, server_id: UUID) -> int:
    """As somebody who asks to: notes what it offers, and returns how many tools. What fails is noted, and
    raised."""
    tenant = principal.tenant
    try:
        offered = await reach(tenant=tenant, server_id=server_id, user_id=principal.user_id, work=list_tools)
    except AtCapacity:  # a limit of ours says nothing about the server
        raise
    except SecretUnreadable as problem:
        await in_tenant(tenant, note_problem, server_id=server_id, problem=KEY_UNREADABLE)
        raise McpServerFailed(KEY_UNREADABLE) from problem
    except DomainError as problem:
        if "how" not in problem.details:  # that one person has not signed in is no problem of the server's
            await in_tenant(tenant, note_problem, server_id=server_id, problem=problem.text)
        raise
    await in_tenant(tenant, note_tools, server_id=server_id, offered=offered)
    return len(offered)


async def look_at_servers() -> int:
    """Returns how many it looked at. The tenants come in another order each time: all get their turn."""
    tenants = await in_public(_tenants)
    random.shuffle(tenants)
    places, looked = asyncio.Semaphore(AT_ONCE), 0
    for tenant in tenants:
        due = await in_tenant(tenant, due_servers, most=min(MOST_OF_A_TENANT, MOST_LOOKS - looked))
        await asyncio.gather(*(_in_turn(places, tenant, *server) for server in due))
        looked += len(due)
        if looked >= MOST_LOOKS:
            break
    return looked


def _tenants() -> list[TenantRef]:
    return [tenant.ref for tenant in Tenant.objects.filter(suspended_at=None)]


def due_servers(*, most: int) -> list[tuple[UUID, bool]]:
    """Those that are enabled and were not looked at of late, the longest ago first; and whether each member
    signs in for themselves."""
    before = timezone.now() - EVERY
    rows = MCPServer.objects.enabled().filter(Q(checked_at__lt=before) | Q(checked_at=None))
    ordered = rows.order_by(F("checked_at").asc(nulls_first=True))[:most]
    return [(row.id, row.sign_in == MCPServer.SignIn.MEMBER) for row in ordered]


async def _in_turn(places: asyncio.Semaphore, tenant: TenantRef, server_id: UUID, is_members: bool) -> None:
    async with places:
        try:
            await look_at_server(tenant=tenant, server_id=server_id, is_members=is_members)
        except (NotFound, AtCapacity):
            return  # removed meanwhile, or not looked at: then it is soon due again
        except Exception:  # one that cannot be looked at must not keep the others from it
            log.exception("MCP server could not be looked at", server_id=str(server_id))
            await in_tenant(tenant, note_problem, server_id=server_id, problem="It could not be looked at.")


async def look_at_server(*, tenant: TenantRef, server_id: UUID, is_members: bool) -> None:
    """Notes what it offers now, or why it shows nothing. Nobody's own sign-in is used without them: a server
    that has only such is well when it asks for one."""
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
