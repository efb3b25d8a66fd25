"""What a manager says of each tool: whether it may be used, how, and that a changed one is accepted."""

from typing import Any

from django.db import transaction
from django.db.models import F

from accounts import audit
from accounts.principals import Principal
from kit.errors import Conflict, NotFound
from workspaces.mcp_servers.definitions import ToolDefinition, check_restriction
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.services import find_server, lock_server


@transaction.atomic
def change_tool(*, principal: Principal, slug: str, tool: str, **wanted: Any) -> Tool:
    """`is_allowed`, `needs_approval`, `argument_schema` ({} lifts the restriction): whatever is named."""
    server = lock_server(find_server(place=principal, slug=slug).id)
    row = _find_tool(server, tool)
    changes: dict[str, list[Any]] = {}
    if wanted.get("argument_schema"):
        check_restriction(wanted["argument_schema"])
    for name in ("is_allowed", "needs_approval", "argument_schema"):
        if name not in wanted or wanted[name] is None:
            continue
        after = wanted[name] or None if name == "argument_schema" else wanted[name]
        if after != getattr(row, name):
            changes[name] = [getattr(row, name), after]
            setattr(row, name, after)
    if row.is_new and wanted.get("is_allowed") is not None:  # also who leaves it denied has looked at it
        row.is_new = False
        row.save(update_fields=["is_new"])
    if changes:
        row.save()
        MCPServer.objects.filter(id=server.id).update(version=F("version") + 1)
        audit.record(
            "mcp_tool.changed", principal=principal, target=f"{server.slug}/{row.name}", changes=changes
        )
    return row


@transaction.atomic
def accept_tool(*, principal: Principal, slug: str, tool: str, shown_hash: str) -> Tool:
    """Accepts the changed definition that was shown. Conflict where it changed again meanwhile."""
    server = lock_server(find_server(place=principal, slug=slug).id)
    row = _find_tool(server, tool)
    if row.offered is None:
        raise Conflict("There is nothing to accept.")
    offered = ToolDefinition(name=row.name, definition=row.offered)
    if offered.hash != shown_hash:
        raise Conflict("It has changed again: look at it once more.")
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
