"""What is known of MCP servers; speaking with them is for `connecting`, changing them for `managing`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils import timezone

from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from kit.secrets import unseal
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth.token_store import missing_sign_ins
from workspaces.mcp_servers.urls import url_of

USABLE = Q(tools__is_allowed=True, tools__is_gone=False, tools__offered__isnull=True, tools__problem="")
WAITING = Q(tools__is_new=True) | Q(tools__offered__isnull=False)


@dataclass(frozen=True, slots=True)
class ToolRef:
    """A tool that may be called, as plain data; the definition is the accepted one."""

    name: str
    description: str
    input_schema: dict[str, Any]
    definition_hash: str
    needs_approval: bool
    argument_schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ServerRef:
    """An installed server as plain data, with the tools of it that may be called."""

    id: UUID
    slug: str
    name: str
    version: int
    tools: tuple[ToolRef, ...] = ()
    needs_sign_in: str = ""  # who has to sign in before it can be used: MCPServer.SignIn, or nobody

    def tool(self, name: str) -> ToolRef | None:
        """By its own name."""
        return next((tool for tool in self.tools if tool.name == name), None)


@dataclass(frozen=True, slots=True)
class OfferedServer:
    """A server that a message may name; `tools` is how many of its may be used."""

    id: UUID
    slug: str
    name: str
    tools: int
    needs_sign_in: str


@dataclass(frozen=True, slots=True)
class ListedServer:
    """A server as a list shows it: without its tools, of which there may be many, each with its schemas."""

    row: MCPServer
    usable: int
    waiting: int
    needs_sign_in: bool


def installed_servers(workspace_id: UUID) -> QuerySet[MCPServer]:
    """By slug; a workspace has few."""
    return MCPServer.objects.installed().in_workspace(workspace_id).order_by("slug")


def listed_servers(place: Principal) -> list[ListedServer]:
    """Those that somebody may use; for managers all of them."""
    rows = installed_servers(place.workspace.id)
    if not may(place, Action.MCPS_CHANGE):
        rows = rows.filter(enabled=True)
    usable, waiting = Count("tools", filter=USABLE), Count("tools", filter=WAITING)
    counted = list(rows.annotate(usable=usable, waiting=waiting))
    missing = missing_sign_ins(counted, place.user_id)
    return [ListedServer(row, row.usable, row.waiting, row.id in missing) for row in counted]


def enabled_servers(
    *, workspace_id: UUID, slugs: Iterable[str], user_id: UUID | None = None
) -> list[ServerRef]:
    """Those of the slugs that are enabled; with `user_id` each tells whether that person has to sign in."""
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
    """None for one that is disabled or was removed."""
    rows = MCPServer.objects.enabled().filter(id=server_id)
    row = rows.prefetch_related("tools").first()
    return _ref(row, "") if row else None


def offered_servers(place: Principal) -> list[OfferedServer]:
    """What somebody may choose from for a message: those that are enabled and have a usable tool."""
    rows = installed_servers(place.workspace.id).filter(enabled=True)
    counted = list(rows.annotate(usable=Count("tools", filter=USABLE)).filter(usable__gt=0))
    missing = missing_sign_ins(counted, place.user_id)
    return [
        OfferedServer(row.id, row.slug, row.name, row.usable, row.sign_in if row.id in missing else "")
        for row in counted
    ]


def find_server(*, place: Principal, slug: str) -> MCPServer:
    """By slug or id. NotFound also for one that is disabled, to those who could not enable it."""
    rows = installed_servers(place.workspace.id)
    try:
        row = rows.filter(id=UUID(slug)).first()
    except ValueError:
        row = rows.filter(slug=slug).first()
    if row is None or not (row.enabled or may(place, Action.MCPS_CHANGE)):
        raise NotFound
    return row


def new_tool(server: MCPServer, tool: ToolDefinition, *, is_allowed: bool) -> Tool:
    """Not saved yet."""
    return Tool(
        server=server,
        name=tool.name,
        definition=tool.definition,
        definition_hash=tool.hash,
        is_allowed=is_allowed,
        is_new=not is_allowed,
        needs_approval=tool.is_destructive,
        problem=tool.problem,
    )


@transaction.atomic
def note_tools(*, server_id: UUID, offered: list[ToolDefinition]) -> None:
    """What the server shows now: a changed tool waits for a manager, a new one to be allowed."""
    server = lock_server(server_id)
    known = {tool.name: tool for tool in server.tools.all()}
    is_first = server.listed_at is None
    before = _usable(known.values())
    for tool in offered:
        row = known.pop(tool.name, None)
        if row is None:
            new_tool(server, tool, is_allowed=is_first).save()
        else:
            seen = (tool.definition if tool.hash != row.definition_hash else None, False, tool.problem)
            if seen != (row.offered, row.is_gone, row.problem):
                row.offered, row.is_gone, row.problem = seen
                row.save()
    Tool.objects.filter(id__in=[row.id for row in known.values()]).update(is_gone=True)
    if server.waits_for_sign_in:
        server.enabled, server.waits_for_sign_in = True, False
    server.problem, server.checked_at, server.listed_at = "", timezone.now(), timezone.now()
    if before != _usable(Tool.objects.filter(server=server)):
        server.version += 1
    told = ["problem", "checked_at", "listed_at", "version", "enabled", "waits_for_sign_in"]
    server.save(update_fields=told)


def _usable(tools: Iterable[Tool]) -> set[tuple[str, str]]:
    return {(tool.name, tool.definition_hash) for tool in tools if tool.is_usable}


def note_seen(*, server_id: UUID) -> None:
    """It answers; what it offers was not looked at."""
    MCPServer.objects.filter(id=server_id).update(problem="", checked_at=timezone.now())


def note_problem(*, server_id: UUID, problem: str) -> None:
    """Why the last look at the server failed."""
    MCPServer.objects.filter(id=server_id).update(problem=problem[:200], checked_at=timezone.now())


def lock_server(server_id: UUID) -> MCPServer:
    row = MCPServer.objects.installed().select_for_update().filter(id=server_id).first()
    if row is None:
        raise NotFound
    return row


def address_of(*, server_id: UUID) -> Address:
    """Where and with which secret the server is reached. NotFound for one that was removed."""
    row = MCPServer.objects.installed().filter(id=server_id).first()
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
