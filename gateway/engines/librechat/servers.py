"""Registers a turn's MCP servers in its engine account: on first use, and again when their tools changed.

LibreChat lists their tools at our egress when it registers them, and never learns their real URLs.
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
WAIT_SECONDS = 30.0  # for another process that is registering it
POLL_SECONDS = 0.1
LONGEST_STEM = 12  # characters of the slug in a title
NOT_IN_TITLES = re.compile(r"[^A-Za-z0-9]+")


async def known_servers(job: TurnJob, account_id: UUID) -> dict[str, ServerRef]:
    """The turn's servers that LibreChat has already, by its names for them."""
    return await in_tenant(
        job.tenant,
        registered_servers,
        engine_account_id=account_id,
        user_id=job.user_id,
        servers=job.servers,
    )


async def register_servers(job: TurnJob, accounts: Accounts, account_id: UUID) -> dict[str, ServerRef]:
    """All of the turn's servers, by LibreChat's names for them. EngineUnavailable, EngineFailed."""
    registered = await accounts.call(account_id, accounts.client.servers)
    names = [
        await _ServerRegistration(job, server, accounts, account_id, registered).name()
        for server in job.servers
    ]
    return dict(zip(names, job.servers, strict=True))


@dataclass(frozen=True, slots=True)
class _ServerRegistration:
    """The registration of one server; `registered` are the names that LibreChat knew a moment ago."""

    job: TurnJob
    server: ServerRef
    accounts: Accounts
    account_id: UUID
    registered: set[str]

    async def name(self) -> str:
        """LibreChat's name for it, once LibreChat has its current version."""
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
            # A name that another process stored since we began is newer than `registered`.
            is_known = row.name in self.registered or (bool(row.name) and row != first)
            if is_known and row.version >= self.server.version:
                return row.name
            if await in_tenant(self.job.tenant, claim_registration, row):
                # If this were aborted, LibreChat could keep a server forever that we do not know of.
                return await unbroken(self._register(row, is_known=is_known))
            await asyncio.sleep(POLL_SECONDS)
        raise EngineUnavailable("An MCP server is still being registered.")

    async def _register(self, row: Registration, *, is_known: bool) -> str:
        """Updates the registration, or creates one if LibreChat does not have it."""
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
    """LibreChat derives the server's name from the title, and lists its tools again when this changes."""
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
    words = NOT_IN_TITLES.sub(" ", name[:LONGEST_STEM]).split()
    return " ".join([*(words or ["server"]), row_id.hex[:6]])
