"""Stores the tools that a server offers and the result of each check of it."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.queries import lock_server


def new_tool(server: MCPServer, tool: ToolDefinition, *, is_allowed: bool) -> Tool:
    """An unsaved row."""
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
    """Stores what the server offers now. Changed tools wait to be accepted, new ones to be allowed."""
    server = lock_server(server_id)
    known = {tool.name: tool for tool in server.tools.all()}
    is_first = server.listed_at is None
    before = _usable(known.values())
    for tool in offered:
        row = known.pop(tool.name, None)
        if row is None:
            new_tool(server, tool, is_allowed=is_first).save()
        else:
            current = (tool.definition if tool.hash != row.definition_hash else None, False, tool.problem)
            if current != (row.offered, row.is_gone, row.problem):
                row.offered, row.is_gone, row.problem = current
                row.save()
    Tool.objects.filter(id__in=[row.id for row in known.values()]).update(is_gone=True)
    if server.waits_for_sign_in:
        server.enabled, server.waits_for_sign_in = True, False
    server.problem, server.checked_at, server.listed_at = "", timezone.now(), timezone.now()
    if before != _usable(Tool.objects.filter(server=server)):
        server.version += 1
    server.save(
        update_fields=["problem", "checked_at", "listed_at", "version", "enabled", "waits_for_sign_in"]
    )


def _usable(tools: Iterable[Tool]) -> set[tuple[str, str]]:
    return {(tool.name, tool.definition_hash) for tool in tools if tool.is_usable}


def note_seen(*, server_id: UUID) -> None:
    """The server responds; its tools were not read."""
    MCPServer.objects.filter(id=server_id).update(problem="", checked_at=timezone.now())


def note_problem(*, server_id: UUID, problem: str) -> None:
    """Why the last check of the server failed."""
    MCPServer.objects.filter(id=server_id).update(problem=problem[:200], checked_at=timezone.now())
