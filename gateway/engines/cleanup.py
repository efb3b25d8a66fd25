"""Takes away at engines what was removed here: the MCP servers that no workspace has any more."""

from uuid import UUID

import structlog
from django.db.models import Exists, OuterRef

from accounts.engine_accounts import engine_of
from accounts.teams.tenants import all_tenants
from gateway.engines.registry import engine_named
from gateway.models import EngineServer
from kit.errors import DomainError
from kit.secrets import SecretUnreadable
from kit.tenancy import in_public, in_tenant
from workspaces.mcp_servers.models import MCPServer

log = structlog.get_logger(__name__)
BATCH = 100  # of a tenant, at a time


async def forget_removed_servers() -> None:
    """Can be run at any time; what cannot be reached now is tried again the next time."""
    for tenant in await in_public(all_tenants):
        unreachable: set[UUID] = set()
        for row_id, account_id, name in await in_tenant(tenant, removed_registrations):
            if account_id in unreachable:
                continue
            try:
                await _forget(account_id, name)
            except (DomainError, SecretUnreadable) as exc:
                log.warning("a server was not forgotten", tenant=tenant.slug, error=type(exc).__name__)
                unreachable.add(account_id)
                continue
            await in_tenant(tenant, drop_registration, row_id)


async def _forget(account_id: UUID, name: str) -> None:
    engine = await in_public(engine_of, account_id)
    if engine and name:
        await engine_named(engine).forget_server(account_id, name)


def removed_registrations() -> list[tuple[UUID, UUID, str]]:
    """In the tenant's schema: id, engine account and name of those whose server is gone."""
    kept = MCPServer.objects.installed().filter(id=OuterRef("server_id"))
    rows = EngineServer.objects.filter(~Exists(kept)).order_by("?")[:BATCH]  # so that none waits for ever
    return [(row.id, row.engine_account_id, row.name) for row in rows]


def drop_registration(row_id: UUID) -> None:
    EngineServer.objects.filter(id=row_id).delete()
