"""Finds MCP servers and their usable tools. `client` talks to servers, `services` changes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Prefetch, Q, QuerySet

from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from kit.secrets import unseal
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth.token_store import missing_sign_ins
from workspaces.mcp_servers.urls import url_of

USABLE = Q(tools__is_allowed=True, tools__is_gone=False, tools__offered__isnull=True, tools__problem="")
WAITING = Q(tools__is_new=True) | Q(tools__offered__isnull=False)


@dataclass(frozen=True, slots=True)
class ToolRef:
    """A callable tool with its accepted definition, as plain data."""

    name: str
    description: str
    input_schema: dict[str, Any]
    definition_hash: str
    needs_approval: bool
    argument_schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ServerRef:
    """An installed server with its callable tools, as plain data."""

    id: UUID
    slug: str
    name: str
    version: int
    tools: tuple[ToolRef, ...] = ()
    needs_sign_in: str = ""  # who has to sign in first (MCPServer.SignIn); empty: no one

    def tool(self, name: str) -> ToolRef | None:
        """By the server's own name for it."""
        return next((tool for tool in self.tools if tool.name == name), None)


@dataclass(frozen=True, slots=True)
class OfferedServer:
    """A server that a message may use; `tools` is its number of usable tools."""

    id: UUID
    slug: str
    name: str
    tools: int
    needs_sign_in: str


@dataclass(frozen=True, slots=True)
class ListedServer:
    """A server in a list: with counts only, since there may be many tools with large schemas."""

    row: MCPServer
    usable: int
    waiting: int
    needs_sign_in: bool


def installed_servers(workspace_id: UUID) -> QuerySet[MCPServer]:
    """Ordered by slug. A workspace has few."""
    return MCPServer.objects.filter(workspace_id=workspace_id, removed_at=None).order_by("slug")


def listed_servers(principal: Principal) -> list[ListedServer]:
    """Enabled servers; for managers all installed ones."""
    rows = installed_servers(principal.workspace.id)
    if not may(principal, Action.MCPS_CHANGE):
        rows = rows.filter(enabled=True)
    usable, waiting = Count("tools", filter=USABLE), Count("tools", filter=WAITING)
    counted = list(rows.annotate(usable=usable, waiting=waiting))
    missing = missing_sign_ins(counted, principal.user_id)
    return [ListedServer(row, row.usable, row.waiting, row.id in missing) for row in counted]


def enabled_servers(
    *, workspace_id: UUID, slugs: Iterable[str], user_id: UUID | None = None
) -> list[ServerRef]:
    """The enabled ones of these slugs. With `user_id`, each says whether that person has to sign in first."""
    rows = _with_tools(installed_servers(workspace_id).filter(slug__in=list(slugs), enabled=True))
    missing = missing_sign_ins(rows, user_id) if user_id is not None else set()
    return [_ref(row, row.sign_in if row.id in missing else "") for row in rows]


def enabled_servers_by_id(*, workspace_id: UUID, ids: Iterable[str | UUID]) -> list[ServerRef]:
    """Those that are still enabled. What began with a server asks by id: its slug may be another's by now."""
    rows = _with_tools(installed_servers(workspace_id).filter(id__in=list(ids), enabled=True))
    return [_ref(row, "") for row in rows]


def _with_tools(rows: QuerySet[MCPServer]) -> list[MCPServer]:
    return list(rows.prefetch_related(Prefetch("tools", queryset=Tool.objects.order_by("name"))))


def enabled_slugs(*, workspace_id: UUID) -> list[str]:
    return list(installed_servers(workspace_id).filter(enabled=True).values_list("slug", flat=True))


def enabled_server(server_id: UUID) -> ServerRef | None:
    """None if it is disabled or removed."""
    rows = MCPServer.objects.filter(id=server_id, removed_at=None, enabled=True)
    row = rows.prefetch_related("tools").first()
    return _ref(row, "") if row else None


def offered_servers(principal: Principal) -> list[OfferedServer]:
    """The servers to choose from for a message: enabled and with a usable tool."""
    rows = installed_servers(principal.workspace.id).filter(enabled=True)
    counted = list(rows.annotate(usable=Count("tools", filter=USABLE)).filter(usable__gt=0))
    missing = missing_sign_ins(counted, principal.user_id)
    return [
        OfferedServer(row.id, row.slug, row.name, row.usable, row.sign_in if row.id in missing else "")
        for row in counted
    ]


def find_server(*, principal: Principal, slug: str) -> MCPServer:
    """By slug or id. NotFound also for a disabled one, except for managers."""
    rows = installed_servers(principal.workspace.id)
    try:
        row = rows.filter(id=UUID(slug)).first()
    except ValueError:
        row = rows.filter(slug=slug).first()
    if row is None or not (row.enabled or may(principal, Action.MCPS_CHANGE)):
        raise NotFound
    return row


def lock_server(server_id: UUID) -> MCPServer:
    row = MCPServer.objects.select_for_update().filter(id=server_id, removed_at=None).first()
    if row is None:
        raise NotFound
    return row


def address_of(*, server_id: UUID) -> Address:
    """The server's URL with its key, without anyone's sign-in. NotFound if it was removed."""
    row = MCPServer.objects.filter(id=server_id, removed_at=None).first()
    if row is None:
        raise NotFound
    is_keyed = row.auth == MCPServer.Auth.HEADER
    headers = {row.header_name: unseal(row.sealed_header)} if is_keyed else {}
    return Address(url=url_of(row), transport=row.transport, headers=headers)


def _ref(row: MCPServer, needs_sign_in: str) -> ServerRef:
    return ServerRef(
        id=row.id,
        slug=row.slug,
        name=row.name,
        version=row.version,
        tools=tuple(_tool_ref(tool) for tool in row.tools.all() if tool.is_usable),
        needs_sign_in=needs_sign_in,
    )


def _tool_ref(tool: Tool) -> ToolRef:
    return ToolRef(
        name=tool.name,
        description=tool.definition["description"],
        input_schema=tool.definition["input_schema"],
        definition_hash=tool.definition_hash,
        needs_approval=tool.needs_approval,
        argument_schema=tool.argument_schema,
    )
