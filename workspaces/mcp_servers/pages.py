"""Pages for MCP servers: the list, the gallery, installation, one server and the rules for its tools."""

import json
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import button, form_page, needs, problem_text
from accounts.page_urls import page_url
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import DomainError, Forbidden, InvalidInput, NotFound
from workspaces.diffs import diff_lines, shown_diff
from workspaces.mcp_servers import queries, services, tool_rules
from workspaces.mcp_servers.badges import badge_of
from workspaces.mcp_servers.definitions import MOST_TOOLS, hash_of
from workspaces.mcp_servers.forms import ConnectionForm, InstallForm
from workspaces.mcp_servers.gallery import find_entry, gallery_by_category
from workspaces.mcp_servers.inputs import ServerChange, ToolChange
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth.registration import redirect_uri
from workspaces.mcp_servers.oauth.token_store import (
    find_sign_in,
    may_sign_in,
    missing_sign_ins,
    redirect_uri_to_register,
)

LONGEST_SCHEMA = 20_000  # characters of a typed rule
RULES = {  # applied to all tools of a server
    "ask_to_change": "Ask unless read-only",
    "ask": "Always ask",
    "never_ask": "Never ask",
    "allow": "Allow all",
    "deny": "Deny all",
}
AUTHENTICATION = [
    (MCPServer.Auth.NONE.value, "None"),
    (MCPServer.Auth.HEADER.value, "API key (in a header)"),
    (MCPServer.Auth.OAUTH.value, "Sign-in (OAuth)"),
]
SIGN_IN = [
    (MCPServer.SignIn.WORKSPACE.value, "Once, for the whole workspace"),
    (MCPServer.SignIn.MEMBER.value, "Each member with their own account"),
]


@dataclass(frozen=True, slots=True)
class InvalidRule:
    """The rule that was typed for a tool, to be shown again with its problem."""

    tool: str
    text: str
    problem: str


@require_GET
@needs(Action.MCPS_VIEW)
def servers(request: WorkspaceRequest, **route: str) -> HttpResponse:
    """The servers that may be used; for managers all of them."""
    return render(request, "mcp_servers/list.html", {"servers": queries.listed_servers(request.principal)})


def _tool_context(tool: Tool, invalid: InvalidRule | None) -> dict[str, Any]:
    rule = json.dumps(tool.argument_schema, indent=2) if tool.argument_schema else ""
    typed = invalid if invalid is not None and invalid.tool == tool.name else None
    return {
        "row": tool,
        "badge": badge_of(tool),
        "hash": hash_of(tool.offered) if tool.offered is not None else "",
        "diff": shown_diff(diff_lines(_lines(tool.definition), _lines(tool.offered))) if tool.offered else [],
        "arguments": list(tool.definition["input_schema"].get("properties") or {}),
        "restriction": typed.text if typed else rule,
        "problem": typed.problem if typed else "",
    }


def _lines(definition: dict[str, Any]) -> list[str]:
    """The definition as lines to compare: description, input schema and annotations."""
    rest = {name: definition[name] for name in ("input_schema", "annotations")}
    text = json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True)
    return [*definition["description"].splitlines(), "", *text.splitlines()]


@require_GET
@needs(Action.MCPS_CHANGE)
def gallery(request: WorkspaceRequest, **route: str) -> HttpResponse:
    """Well-known servers, and a link to install any other."""
    return render(request, "mcp_servers/gallery.html", {"shelves": gallery_by_category()})


@require_http_methods(["GET", "POST"])
@needs(Action.MCPS_CHANGE)
def install(request: WorkspaceRequest, **route: str) -> HttpResponse:
    """The form, filled in from the gallery by `?from=`."""
    entry = find_entry(request.GET.get("from", ""))
    initial = {"auth": "none", "header_name": "Authorization"}
    if entry is not None:
        fields = ("name", "slug", "url", "transport", "auth", "header_name", "sign_in")
        initial |= {name: value for name in fields if (value := getattr(entry, name, ""))}
    form = InstallForm(request.POST or None, initial=initial)
    context = {"form": form, "entry": entry, "callback": redirect_uri()}
    return form_page(
        request,
        form,
        save=lambda: services.install_server(principal=request.principal, server=form.server()),
        done=_installed,
        back=lambda row: page_url(request.principal, "mcp_server", server=row.slug),
        page=lambda: render(request, "mcp_servers/install.html", context),
    )


def _installed(row: MCPServer) -> str:
    if row.listed_at is None:
        return "Installed. Sign in to see its tools."
    return f"Connected. Tools found: {row.tools.count()}."


@require_GET
@needs(Action.MCPS_VIEW)
def server(request: WorkspaceRequest, server: str, **route: str) -> HttpResponse:
    """One server and its tools."""
    return _server_page(request, queries.find_server(principal=request.principal, slug=server))


def _server_page(
    request: WorkspaceRequest,
    row: MCPServer,
    invalid: InvalidRule | None = None,
    connection_form: ConnectionForm | None = None,
) -> HttpResponse:
    principal = request.principal
    needs_sign_in = row.id in missing_sign_ins([row], principal.user_id)
    stored = find_sign_in(row, principal.user_id) if row.sign_in else None
    context = {
        "row": row,
        "needs_sign_in": needs_sign_in,
        "tools": [_tool_context(tool, invalid) for tool in row.tools.order_by("name")],
        "rules": RULES,
        "connection": connection_form or ConnectionForm(row),
        "kept": stored,
        "may_sign_in": may_sign_in(principal, row),
        "address_to_register": redirect_uri_to_register(row) if may(principal, Action.MCPS_CHANGE) else "",
        "page": request.GET.get("page", ""),
    }
    return render(
        request, "mcp_servers/server.html", context, status=422 if invalid or connection_form else 200
    )


@require_POST
@needs(Action.MCPS_CHANGE)
def refresh(request: WorkspaceRequest, server: str, **route: str) -> HttpResponse:
    try:
        offered = services.refresh_server(principal=request.principal, slug=server)
    except (Forbidden, NotFound):
        raise
    except DomainError as problem:
        messages.error(request, problem_text(problem))
    else:
        messages.success(request, f"Tools refreshed. The server has {offered} tools.")
    return redirect(page_url(request.principal, "mcp_server", server=server))


def _server_url(request: WorkspaceRequest, principal: Principal, *, server: str, **_: str) -> str:
    return page_url(principal, "mcp_server", server=server)


def _enabled(request: WorkspaceRequest, principal: Principal, *, server: str) -> dict[str, Any]:
    enabled = request.POST["enabled"] == "1" if "enabled" in request.POST else None
    return {"slug": server, "change": ServerChange(enabled=enabled)}


change = button(
    needs(Action.MCPS_CHANGE), services.change_server, done="Saved.", back=_server_url, reads=_enabled
)


@require_POST
@needs(Action.MCPS_CHANGE)
def connect(request: WorkspaceRequest, server: str, **route: str) -> HttpResponse:
    """Saves a new URL, a new key, or both."""
    row = queries.find_server(principal=request.principal, slug=server)
    form = ConnectionForm(row, request.POST)
    return form_page(
        request,
        form,
        save=lambda: services.change_server(principal=request.principal, slug=server, change=form.change()),
        done="Saved.",
        back=page_url(request.principal, "mcp_server", server=row.slug),
        page=lambda: _server_page(request, row, connection_form=form),
    )


remove = button(
    needs(Action.MCPS_CHANGE),
    services.remove_server,
    done="Server and key removed.",
    back="mcp_servers",
    reads=lambda request, principal, server: {"slug": server},
)


@require_POST
@needs(Action.MCPS_CHANGE)
def change_tool(request: WorkspaceRequest, server: str, tool: str, **route: str) -> HttpResponse:
    """Saves all fields of a tool's form."""
    typed = request.POST.get("argument_schema", "")
    try:
        change = ToolChange(
            allowed=request.POST.get("is_allowed") == "on",
            needs_approval=request.POST.get("needs_approval") == "on",
            argument_schema=_read_rule(typed),
        )
        tool_rules.change_tool(principal=request.principal, slug=server, tool=tool, change=change)
    except InvalidInput as problem:
        row = queries.find_server(principal=request.principal, slug=server)
        return _server_page(request, row, InvalidRule(tool, typed, problem_text(problem)))
    except DomainError as problem:
        messages.error(request, problem_text(problem))
    else:
        messages.success(request, "Saved.")
    return redirect(page_url(request.principal, "mcp_server", server=server))


def _read_rule(text: str) -> dict[str, Any]:
    """An empty text is an empty rule. InvalidInput if it is not a JSON object."""
    try:
        value = json.loads(text) if text.strip() and len(text) <= LONGEST_SCHEMA else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or len(text) > LONGEST_SCHEMA:
        raise InvalidInput(argument_schema=["The allowed arguments must be a JSON object."])
    return value


def _rule_for_all(request: WorkspaceRequest, principal: Principal, *, server: str) -> dict[str, Any]:
    """One rule for the tools that the page showed, not for any that were added since."""
    row = queries.find_server(principal=principal, slug=server)
    shown = row.tools.filter(name__in=request.POST.getlist("tool")[:MOST_TOOLS])
    changes = {tool.name: _change_for(request.POST.get("rule", ""), tool) for tool in shown}
    return {"slug": server, "changes": changes}


change_tools = button(
    needs(Action.MCPS_CHANGE),
    tool_rules.change_tools,
    done="Saved for all tools.",
    back=_server_url,
    reads=_rule_for_all,
)


def _change_for(rule: str, tool: Tool) -> ToolChange:
    match rule:
        case "ask_to_change":
            return ToolChange(needs_approval=not tool.only_reads)
        case "ask" | "never_ask":
            return ToolChange(needs_approval=rule == "ask")
        case "allow" | "deny":
            return ToolChange(allowed=rule == "allow")
    raise Http404


def _shown_definition(
    request: WorkspaceRequest, principal: Principal, *, server: str, tool: str
) -> dict[str, Any]:
    """The changed definition that the page showed is accepted, and no later one."""
    return {"slug": server, "tool": tool, "shown_hash": request.POST.get("hash", "")}


accept_tool = button(
    needs(Action.MCPS_CHANGE),
    tool_rules.accept_tool,
    done="Change accepted. The tool can be used again.",
    back=_server_url,
    reads=_shown_definition,
)
