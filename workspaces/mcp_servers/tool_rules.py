"""A manager's decisions about each tool: whether and how it may be used, and its changed definition."""

from collections.abc import Mapping

from django.db import transaction
from django.db.models import F

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, NotFound
from workspaces.mcp_servers.argument_rules import check_rule
from workspaces.mcp_servers.definitions import ToolDefinition
from workspaces.mcp_servers.inputs import ToolChange
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.queries import find_server, lock_server

FIELDS = ("is_allowed", "needs_approval", "argument_schema")


def change_tool(*, principal: Principal, slug: str, tool: str, change: ToolChange) -> Tool:
    """InvalidInput, NotFound."""
    (row,) = change_tools(principal=principal, slug=slug, changes={tool: change})
    return row


@transaction.atomic
def change_tools(*, principal: Principal, slug: str, changes: Mapping[str, ToolChange]) -> list[Tool]:
    """All of the changes, keyed by tool name, or none of them. InvalidInput, NotFound for an unknown tool."""
    server = lock_server(find_server(principal=principal, slug=slug).id)
    rows = list(Tool.objects.filter(server=server, name__in=changes).order_by("name"))
    if len(rows) < len(changes):
        raise NotFound
    made = {row.name: _change(row, changes[row.name]) for row in rows}
    reviewed = [row for row in rows if row.is_new and changes[row.name].allowed is not None]
    for row in reviewed:  # leaving a new tool denied is a decision too
        row.is_new = False
    Tool.objects.bulk_update([row for row in rows if made[row.name] or row in reviewed], [*FIELDS, "is_new"])
    if any(made.values()):
        MCPServer.objects.filter(id=server.id).update(version=F("version") + 1)
    for name, changed in made.items():
        if changed:
            target = f"{server.slug}/{name}"
            audit.record("mcp_tool.changed", principal=principal, target=target, changes=changed)
    return rows


def _change(row: Tool, change: ToolChange) -> audit.Changes:
    """Sets the row's fields and returns what changed, for the audit."""
    if change.argument_schema:
        check_rule(change.argument_schema)
    wanted = {"is_allowed": change.allowed, "needs_approval": change.needs_approval}
    changed = audit.change(row, wanted, wanted)
    rule = change.argument_schema or None  # None is a value here, which `audit.change` leaves out
    if change.argument_schema is not None and rule != row.argument_schema:
        changed["argument_schema"] = [row.argument_schema, rule]
        row.argument_schema = rule
    return changed


@transaction.atomic
def accept_tool(*, principal: Principal, slug: str, tool: str, shown_hash: str) -> Tool:
    """Accepts the changed definition that was shown. Conflict if it has changed again since."""
    server = lock_server(find_server(principal=principal, slug=slug).id)
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
