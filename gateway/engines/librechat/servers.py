"""Registers a turn's MCP servers in its engine account: on first use, and anew when what they offer changed.

LibreChat asks our egress for their tools as it registers them, and never learns where they really are.
"""

import asyncio
from uuid import UUID

from django.conf import settings

from gateway.egress.engine_servers import (
    Registration,
    claim_registration,
    find_registration,
    note_registration,
    registered_servers,
    release_registration,
)
from gateway.engines.base import TurnJob
from gateway.engines.librechat.accounts import Accounts
from gateway.providers.base import JsonObject
from kit.errors import EngineUnavailable
from kit.tenancy import in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.services import ServerRef

WAIT_SECONDS = 30.0  # for somebody else who is registering it
POLL_SECONDS = 0.1


async def known_servers(job: TurnJob, account_id: UUID) -> dict[str, ServerRef]:
    """The turn's servers that LibreChat has already, by what it calls them."""
    return await in_tenant(job.tenant, registered_servers, engine_account_id=account_id, servers=job.servers)


async def register_servers(job: TurnJob, accounts: Accounts, account_id: UUID) -> dict[str, ServerRef]:
    """All of the turn's servers, by what LibreChat calls them. EngineUnavailable, EngineFailed."""
    session = await accounts.session(account_id)
    names = [await _register(job, server, accounts, account_id, session.user_id) for server in job.servers]
    return dict(zip(names, job.servers, strict=True))


async def _register(
    job: TurnJob, server: ServerRef, accounts: Accounts, account_id: UUID, engine_user_id: str
) -> str:
    until = asyncio.get_running_loop().time() + WAIT_SECONDS
    while asyncio.get_running_loop().time() < until:
        row = await in_tenant(
            job.tenant, find_registration, engine_account_id=account_id, server_id=server.id
        )
        is_known = bool(row.name) and row.engine_user_id == engine_user_id
        if is_known and row.version >= server.version:
            return row.name
        if await in_tenant(job.tenant, claim_registration, row.id):
            try:
                name = await _tell(job, row, server, accounts, account_id, is_known=is_known)
            except BaseException:
                await unbroken(in_tenant(job.tenant, release_registration, row.id))
                raise
            await in_tenant(
                job.tenant,
                note_registration,
                row.id,
                name=name,
                version=server.version,
                engine_user_id=engine_user_id,
            )
            return name
        await asyncio.sleep(POLL_SECONDS)
    raise EngineUnavailable("An MCP server is still being registered.")


async def _tell(
    job: TurnJob,
    row: Registration,
    server: ServerRef,
    accounts: Accounts,
    account_id: UUID,
    *,
    is_known: bool,
) -> str:
    """Anew where LibreChat does not know it, any more or at all."""
    config = server_config(row, server, tenant=job.tenant.slug)
    client = accounts.client
    if is_known and await accounts.call(
        account_id, lambda token: client.change_server(token, row.name, config)
    ):
        return row.name
    return await accounts.call(account_id, lambda token: client.add_server(token, config))


def server_config(row: Registration, server: ServerRef, *, tenant: str) -> JsonObject:
    """LibreChat makes the server's name of the title, and looks at its tools again whenever this changes."""
    stem = server.slug[:12].replace("_", "-").strip("-")
    return {
        "type": "streamable-http",
        "url": f"{settings.EGRESS_URL.rstrip('/')}/mcp/{tenant}.{row.id.hex}",
        "title": f"{stem}-{row.id.hex[:6]}",
        "description": f"Version {server.version}",
        "headers": {"Authorization": f"Bearer {row.secret}"},
    }
