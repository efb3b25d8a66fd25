"""What a manager says of each tool: whether it may be used, how, and that a changed one is accepted."""

from typing import Any

from django.db import transaction
from django.db.models import F

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, NotFound
from workspaces.mcp_servers.argument_rules import check_rule
from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.queries import find_server, lock_server

CHANGED = ("is_allowed", "needs_approval", "argument_schema")
Wish = dict[str, Any]  # of CHANGED whatever is named; an argument_schema of {} lifts the restriction


def change_tool(*, principal: Principal, slug: str, tool: str, **wanted: Any) -> Tool:
    """What is wished of one; InvalidInput, NotFound."""
    (row,) = change_tools(principal=principal, slug=slug, wishes={tool: wanted})
    return row


@transaction.atomic
def change_tools(*, principal: Principal, slug: str, wishes: dict[str, Wish]) -> list[Tool]:
    """All of the wishes, by the tools' names, or none. InvalidInput, NotFound where a tool is not there."""
    server = lock_server(find_server(place=principal, slug=slug).id)
    rows = list(Tool.objects.filter(server=server, name__in=wishes).order_by("name"))
    if len(rows) < len(wishes):
        raise NotFound
    done = {row.name: _change(row, wishes[row.name]) for row in rows}
    Tool.objects.bulk_update(rows, [*CHANGED, "is_new"])
    if any(done.values()):
        MCPServer.objects.filter(id=server.id).update(version=F("version") + 1)
    for name, changes in done.items():
        if changes:
            target = f"{server.slug}/{name}"
            audit.record("mcp_tool.changed", principal=principal, target=target, changes=changes)
    return rows


def _change(row: Tool, wish: Wish) -> dict[str, list[Any]]:
    changes: dict[str, list[Any]] = {}
    if wish.get("argument_schema"):
        check_rule(wish["argument_schema"])
    for name in CHANGED:
        if wish.get(name) is None:
            continue
        after = wish[name] or None if name == "argument_schema" else wish[name]
        if after != getattr(row, name):
            changes[name] = [getattr(row, name), after]
            setattr(row, name, after)
    if wish.get("is_allowed") is not None:  # also who leaves it denied has looked at it
        row.is_new = False
    return changes


@transaction.atomic
def accept_tool(*, principal: Principal, slug: str, tool: str, shown_hash: str) -> Tool:
    """Accepts the changed definition that was shown. Conflict where it changed again meanwhile."""
    server = lock_server(find_server(place=principal, slug=slug).id)
    row = _find_tool(server, tool)
    if row.offered is None:
        raise Conflict("There are no changes to accept.")
    offered = ToolDefinition(name=row.name, definition=row.offered)
    if offered.hash != shown_hash:
        raise Conflict("The tool has changed again. Review it once more.")
    row.definition, row.definition_hash, row.offered = offered.definition, offered.hash, None
    row.save()
    MCPServer.objects.filter(id=server.id).update(version=F("version") + 1)
    audit.record(
        "mcp_tool.accepted", principal=principal, target=f"{server.slug}/{row.name}", hash=shown_hash
    )
    return row


def _find_tool(server: MCPServer, name: str) -> Tool:
    row = Tool.objects.filter(server=server, name=name).first()
    if row is None:
        raise NotFound
    return row
