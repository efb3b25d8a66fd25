"""Registers a turn's MCP servers in its engine account: on first use, and anew when what they offer changed.

LibreChat asks our egress for their tools as it registers them, and never learns where they really are.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.conf import settings

from gateway.engines.base import TurnJob
from gateway.engines.librechat.accounts import Accounts
from gateway.engines.librechat.registrations import (
    Registration,
    claim_registration,
    find_registration,
    note_registration,
    registered_servers,
    release_registration,
)
from gateway.errors import EngineUnavailable
from gateway.providers.base import JsonObject
from kit.tenancy import in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.queries import ServerRef

T = TypeVar("T")
WAIT_SECONDS = 30.0  # for somebody else who is registering it
POLL_SECONDS = 0.1
LONGEST_STEM = 12  # characters of the slug in a title
UNTITLED = re.compile(r"[^A-Za-z0-9]+")


async def known_servers(job: TurnJob, account_id: UUID) -> dict[str, ServerRef]:
    """The turn's servers that LibreChat has already, by what it calls them."""
    return await in_tenant(
        job.tenant,
        registered_servers,
        engine_account_id=account_id,
        user_id=job.user_id,
        servers=job.servers,
    )


async def register_servers(job: TurnJob, accounts: Accounts, account_id: UUID) -> dict[str, ServerRef]:
    """All of the turn's servers, by what LibreChat calls them. EngineUnavailable, EngineFailed."""
    there = await accounts.call(account_id, accounts.client.servers)
    names = [await _Registering(job, server, accounts, account_id, there).name() for server in job.servers]
    return dict(zip(names, job.servers, strict=True))


@dataclass(frozen=True, slots=True)
class _Registering:
    """One server's registration; `there` are the names that LibreChat knew a moment ago."""

    job: TurnJob
    server: ServerRef
    accounts: Accounts
    account_id: UUID
    there: set[str]

    async def name(self) -> str:
        """What LibreChat calls it, once it knows of the version that counts now."""
        until = asyncio.get_running_loop().time() + WAIT_SECONDS
        first: Registration | None = None
        while asyncio.get_running_loop().time() < until:
            row = await in_tenant(
                self.job.tenant,
                find_registration,
                engine_account_id=self.account_id,
                server_id=self.server.id,
                user_id=self.job.user_id,
            )
            first = first or row
            # A name that another has noted since we began is newer than what we know is there.
            is_known = row.name in self.there or (bool(row.name) and row != first)
            if is_known and row.version >= self.server.version:
                return row.name
            if await in_tenant(self.job.tenant, claim_registration, row):
                # An engine that knows of a server which we do not would keep it for good.
                return await unbroken(self._tell(row, is_known=is_known))
            await asyncio.sleep(POLL_SECONDS)
        raise EngineUnavailable("An MCP server is still being registered.")

    async def _tell(self, row: Registration, *, is_known: bool) -> str:
        """Anew where LibreChat does not know it, any more or at all."""
        client, config = self.accounts.client, server_config(row, self.server, tenant=self.job.tenant.slug)
        try:
            name = row.name
            if not is_known or not await self._call(lambda token: client.change_server(token, name, config)):
                name = await self._call(lambda token: client.add_server(token, config))
        except BaseException:
            await unbroken(in_tenant(self.job.tenant, release_registration, row.id))
            raise
        await in_tenant(self.job.tenant, note_registration, row.id, name=name, version=self.server.version)
        return name

    async def _call(self, work: Callable[[str], Awaitable[T]]) -> T:
        return await self.accounts.call(self.account_id, work)


def server_config(row: Registration, server: ServerRef, *, tenant: str) -> JsonObject:
    """LibreChat derives the server's name from the title, and lists its tools again whenever this changes."""
    return {
        "type": "streamable-http",
        "url": f"{settings.EGRESS_URL.rstrip('/')}/mcp/{tenant}.{row.id.hex}",
        "title": server_title(server.slug, row.id),
        "description": f"Version {server.version}",
        "headers": {"Authorization": f"Bearer {row.secret}"},
    }


def server_title(name: str, row_id: UUID) -> str:
    """A title of letters, digits and single spaces: LibreChat before v0.8.8 refuses any other.

    LibreChat names the server `everything-f2052e` by the title `everything f2052e`.
    """
    words = UNTITLED.sub(" ", name[:LONGEST_STEM]).split()
    return " ".join([*(words or ["server"]), row_id.hex[:6]])
