"""The pages of MCP servers: what is installed, the gallery, installing one, and what its tools may do."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.db import connection
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import act, blame, needs, told
from accounts.page_urls import place_url
from accounts.policy import Action, may
from kit.errors import DomainError, InvalidInput
from workspaces.diffs import diff_lines, shown_diff
from workspaces.mcp_servers import queries, services, tool_rules
from workspaces.mcp_servers.definitions import MOST_TOOLS, hash_of
from workspaces.mcp_servers.gallery import find_entry, gallery_by_category
from workspaces.mcp_servers.health import look_again
from workspaces.mcp_servers.inputs import ServerWish
from workspaces.mcp_servers.inspection import Found, look_at
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth.metadata import redirect_uri
from workspaces.mcp_servers.oauth.token_store import (
    address_to_register,
    find_sign_in,
    may_sign_in,
    missing_sign_ins,
)

LONGEST_SCHEMA = 20_000  # characters of a restriction
RULES = {  # for all tools of a server at once
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


class InstallForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)
    slug = forms.CharField(
        label="API name",
        max_length=60,
        help_text="Lowercase letters, digits, hyphens and underscores. Used in API calls.",
    )
    url = forms.CharField(
        label="URL",
        max_length=500,
        help_text="The URL of the MCP endpoint, https://… A key in the URL is stored encrypted.",
    )
    transport = forms.ChoiceField(label="Connection type", choices=MCPServer.Transport.choices)
    auth = forms.ChoiceField(label="Authentication", choices=AUTHENTICATION)
    sign_in = forms.ChoiceField(label="Who signs in", choices=SIGN_IN, required=False, initial="workspace")
    client_id = forms.CharField(label="Client ID", max_length=1_000, required=False)
    client_secret = forms.CharField(
        label="Client secret",
        max_length=10_000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again.",
    )
    header_name = forms.CharField(label="Header", max_length=100, required=False, initial="Authorization")
    header_value = forms.CharField(
        label="Value",
        max_length=10_000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For example: Bearer and a token. Stored encrypted and never shown again.",
    )

    def wish(self) -> ServerWish:
        return ServerWish(**self.cleaned_data)


class ConnectionForm(forms.Form):
    """What is left as it was, or empty, stays."""

    url = forms.CharField(label="URL", max_length=500, required=False)
    header_value = forms.CharField(
        label="New key",
        max_length=10_000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, row: MCPServer, data: Any = None) -> None:
        super().__init__(data, initial={"url": row.url})
        if row.auth != MCPServer.Auth.HEADER:
            del self.fields["header_value"]

    def wish(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if value}


@dataclass(frozen=True, slots=True)
class WrongRestriction:
    """What somebody typed for a tool, to be shown again with what is wrong with it."""

    tool: str
    text: str
    problem: str


@require_GET
@needs(Action.MCPS_VIEW)
def servers(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Those that may be used; for managers all of them."""
    return render(request, "mcp_servers/list.html", {"servers": queries.listed_servers(request.principal)})


def _tool_context(tool: Tool, wrong: WrongRestriction | None) -> dict[str, Any]:
    restriction = json.dumps(tool.argument_schema, indent=2) if tool.argument_schema else ""
    is_wrong = wrong is not None and wrong.tool == tool.name
    return {
        "row": tool,
        "hash": hash_of(tool.offered) if tool.offered is not None else "",
        "diff": shown_diff(diff_lines(_lines(tool.definition), _lines(tool.offered))) if tool.offered else [],
        "arguments": list(tool.definition["input_schema"].get("properties") or {}),
        "restriction": wrong.text if wrong and is_wrong else restriction,
        "problem": wrong.problem if wrong and is_wrong else "",
    }


def _lines(definition: dict[str, Any]) -> list[str]:
    """As it is compared: what it says, then its schema and what it claims of itself."""
    rest = {name: definition[name] for name in ("input_schema", "annotations")}
    text = json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True)
    return [*definition["description"].splitlines(), "", *text.splitlines()]


@require_GET
@needs(Action.MCPS_CHANGE)
def gallery(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Well-known servers, and the way to any other."""
    return render(request, "mcp_servers/gallery.html", {"shelves": gallery_by_category()})


@require_http_methods(["GET", "POST"])
@needs(Action.MCPS_CHANGE)
def install(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """A form, filled in from the gallery by `?from=`; the server is asked before anything is kept."""
    entry = find_entry(request.GET.get("from", ""))
    initial = {"auth": "none", "header_name": "Authorization"}
    if entry is not None:
        fields = ("name", "slug", "url", "transport", "auth", "header_name", "sign_in")
        initial |= {name: value for name in fields if (value := getattr(entry, name, ""))}
    form = InstallForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            wish = form.wish()
            wish.check()
            connection.close()  # the server is asked without holding one
            found = look_at(wish)
            row = services.install_server(principal=request.principal, wish=wish, found=found)
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, _installed(found))
            return redirect(place_url(request.principal, "mcp_server", server=row.slug))
    context = {"form": form, "entry": entry, "callback": redirect_uri()}
    return render(request, "mcp_servers/install.html", context)


def _installed(found: Found) -> str:
    if found.authorization is not None:
        return "Installed. Sign in to see its tools."
    return f"Connected. Tools found: {len(found.tools)}."


@require_GET
@needs(Action.MCPS_VIEW)
def server(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """One server and its tools."""
    return _server_page(request, queries.find_server(place=request.principal, slug=server))


def _server_page(
    request: WorkspaceRequest,
    row: MCPServer,
    wrong: WrongRestriction | None = None,
    connection_form: ConnectionForm | None = None,
) -> HttpResponse:
    principal = request.principal
    needs_sign_in = row.id in missing_sign_ins([row], principal.user_id)
    kept = find_sign_in(row, principal.user_id) if row.sign_in else None
    context = {
        "row": row,
        "needs_sign_in": needs_sign_in,
        "tools": [_tool_context(tool, wrong) for tool in row.tools.order_by("name")],
        "rules": RULES,
        "connection": connection_form or ConnectionForm(row),
        "kept": kept,
        "may_sign_in": may_sign_in(principal, row),
        "address_to_register": address_to_register(row) if may(principal, Action.MCPS_CHANGE) else "",
        "page": request.GET.get("page", ""),
    }
    return render(
        request, "mcp_servers/server.html", context, status=422 if wrong or connection_form else 200
    )


@require_POST
@needs(Action.MCPS_CHANGE)
def refresh(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    row = queries.find_server(place=request.principal, slug=server)
    connection.close()
    try:
        offered = async_to_sync(look_again)(principal=request.principal, server_id=row.id)
    except DomainError as problem:
        messages.error(request, told(problem))
    else:
        messages.success(request, f"Tools refreshed. The server has {offered} tools.")
    return redirect(place_url(request.principal, "mcp_server", server=row.slug))


@require_POST
@needs(Action.MCPS_CHANGE)
def change(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """Enables or disables it."""
    wanted = {"enabled": request.POST["enabled"] == "1"} if "enabled" in request.POST else {}
    return _act(request, server, services.change_server, "Saved.", **wanted)


@require_POST
@needs(Action.MCPS_CHANGE)
def connect(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """Keeps a new address, a new key, or both."""
    row = queries.find_server(place=request.principal, slug=server)
    form = ConnectionForm(row, request.POST)
    if form.is_valid():
        try:
            services.change_server(principal=request.principal, slug=server, **form.wish())
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(place_url(request.principal, "mcp_server", server=row.slug))
    return _server_page(request, row, connection_form=form)


@require_POST
@needs(Action.MCPS_CHANGE)
def remove(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """For good: the key is deleted with it."""
    back = place_url(request.principal, "mcp_servers")
    return act(
        request,
        services.remove_server,
        principal=request.principal,
        slug=server,
        done="Server and key removed.",
        back=back,
    )


@require_POST
@needs(Action.MCPS_CHANGE)
def change_tool(request: WorkspaceRequest, server: str, tool: str, **place: str) -> HttpResponse:
    """What a tool may do: all of its form at once."""
    wanted: dict[str, Any] = {
        "is_allowed": request.POST.get("is_allowed") == "on",
        "needs_approval": request.POST.get("needs_approval") == "on",
    }
    typed = request.POST.get("argument_schema", "")
    try:
        wanted["argument_schema"] = _restriction(typed)
        tool_rules.change_tool(principal=request.principal, slug=server, tool=tool, **wanted)
    except InvalidInput as problem:
        row = queries.find_server(place=request.principal, slug=server)
        return _server_page(request, row, WrongRestriction(tool, typed, told(problem)))
    except DomainError as problem:
        messages.error(request, told(problem))
    else:
        messages.success(request, "Saved.")
    return redirect(place_url(request.principal, "mcp_server", server=server))


def _restriction(text: str) -> dict[str, Any]:
    """InvalidInput for what is no JSON object."""
    try:
        value = json.loads(text) if text.strip() and len(text) <= LONGEST_SCHEMA else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or len(text) > LONGEST_SCHEMA:
        raise InvalidInput(argument_schema=["The allowed arguments must be a JSON object."])
    return value


@require_POST
@needs(Action.MCPS_CHANGE)
def change_tools(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """Those of a server's tools that the page showed, by one rule."""
    row = queries.find_server(place=request.principal, slug=server)
    shown = row.tools.filter(name__in=request.POST.getlist("tool")[:MOST_TOOLS])
    wishes = {tool.name: _by_rule(request.POST.get("rule", ""), tool) for tool in shown}
    return _act(request, server, tool_rules.change_tools, "Saved for all tools.", wishes=wishes)


def _by_rule(rule: str, tool: Tool) -> dict[str, Any]:
    match rule:
        case "ask_to_change":
            return {"needs_approval": not tool.only_reads}
        case "ask" | "never_ask":
            return {"needs_approval": rule == "ask"}
        case "allow" | "deny":
            return {"is_allowed": rule == "allow"}
    raise Http404


@require_POST
@needs(Action.MCPS_CHANGE)
def accept_tool(request: WorkspaceRequest, server: str, tool: str, **place: str) -> HttpResponse:
    """The changed definition, as it was shown."""
    shown_hash = request.POST.get("hash", "")
    done = "Change accepted. The tool can be used again."
    return _act(request, server, tool_rules.accept_tool, done, tool=tool, shown_hash=shown_hash)


def _act(
    request: WorkspaceRequest, server: str, service: Callable[..., Any], done: str, **wanted: Any
) -> HttpResponse:
    back = place_url(request.principal, "mcp_server", server=server)
    return act(request, service, principal=request.principal, slug=server, done=done, back=back, **wanted)
