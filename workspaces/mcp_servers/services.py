"""What managers and members do with MCP servers: install, change, refresh, remove, sign in and out.

Services that call a server first give back the database connection; others run in one transaction.
"""

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, ParamSpec, TypeVar

import httpx
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput
from kit.outbound import origin_of
from kit.secrets import seal
from kit.slugs import claim_slug
from kit.tenancy import connection_released
from workspaces.mcp_servers.health import refresh_tools
from workspaces.mcp_servers.inputs import ServerChange, ServerInput, header_problems, url_problem
from workspaces.mcp_servers.inspection import Found, inspect_server
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth import flow
from workspaces.mcp_servers.oauth.token_store import sealed_client, with_secret
from workspaces.mcp_servers.queries import find_server, installed_servers, lock_server
from workspaces.mcp_servers.tool_store import new_tool
from workspaces.mcp_servers.urls import url_columns

P = ParamSpec("P")
T = TypeVar("T")
MOST_SERVERS = 50  # of a workspace


def install_server(*, principal: Principal, server: ServerInput) -> MCPServer:
    """Connects to a server and stores it with its tools. One that needs a sign-in is enabled by the first.

    InvalidInput, Conflict for a slug that is taken, and the errors of `inspect_server`.
    """
    server.check()
    with connection_released():
        found = inspect_server(server)
    return _store_server(principal, server, found)


@transaction.atomic
def _store_server(principal: Principal, server: ServerInput, found: Found) -> MCPServer:
    if installed_servers(principal.workspace.id).count() >= MOST_SERVERS:
        raise Conflict(f"A workspace can have at most {MOST_SERVERS} MCP servers.")
    with claim_slug(server.slug):
        row = MCPServer.objects.create(
            workspace_id=principal.workspace.id,
            **_columns_of_input(server),
            **_columns_of_found(server, found),
        )
    Tool.objects.bulk_create([new_tool(row, tool, is_allowed=True) for tool in found.tools])
    audit.record(
        "mcp_server.installed",
        principal=principal,
        target=row.slug,
        id=str(row.id),
        url=row.url,
        enabled=row.enabled,
    )
    return row


def _columns_of_input(server: ServerInput) -> dict[str, Any]:
    is_keyed = server.auth == MCPServer.Auth.HEADER
    return {
        "slug": server.slug,
        "name": server.name or server.slug,
        **url_columns(server.url),
        "transport": server.transport,
        "auth": server.auth,
        "header_name": server.header_name if is_keyed else "",
        "sealed_header": seal(server.header_value) if is_keyed else "",
        "sign_in": server.who_signs_in,
    }


def _columns_of_found(server: ServerInput, found: Found) -> dict[str, Any]:
    waits = found.authorization is not None
    return {
        "authorization": found.authorization.as_data() if found.authorization else None,
        "sealed_client": _sealed_client(server, found),
        "enabled": server.enabled and not waits,
        "waits_for_sign_in": server.enabled and waits,
        "checked_at": None if waits else timezone.now(),
        "listed_at": None if waits else timezone.now(),
    }


def _sealed_client(server: ServerInput, found: Found) -> str:
    """The client that a manager entered, bound to this issuer: its secret is sent nowhere else."""
    if server.client is None or found.authorization is None:
        return ""
    client = server.client.at(found.authorization)
    return sealed_client(client) if client else ""


@transaction.atomic
def change_server(*, principal: Principal, slug: str, change: ServerChange) -> MCPServer:
    """Changes what is given. The URL must stay on its host, and a new one needs the header's key again, so
    that a key is never sent to an address its owner did not choose. InvalidInput, NotFound."""
    row = lock_server(find_server(principal=principal, slug=slug).id)
    changes = audit.change(row, asdict(change), ("name", "enabled"))
    if "enabled" in changes:
        row.waits_for_sign_in = False
    if change.url is not None:
        _change_url(row, change.url, changes, has_new_key=bool(change.header_value))
    if change.header_value is not None:
        if row.auth != MCPServer.Auth.HEADER:
            raise InvalidInput(header_value=["This server does not use a header."])
        if wrong := header_problems(row.header_name, change.header_value):
            raise InvalidInput(**wrong)
        row.sealed_header = seal(change.header_value)
        changes["header_key"] = ["", ""]
    if change.client_secret is not None:
        row.sealed_client = with_secret(row, change.client_secret)
        changes["client_key"] = ["", ""]
    if changes:
        row.version += 1
        row.save()
        audit.record(
            "mcp_server.changed", principal=principal, target=row.slug, id=str(row.id), changes=changes
        )
    return row


def _change_url(row: MCPServer, url: str, changes: audit.Changes, *, has_new_key: bool) -> None:
    if url == row.url:  # as shown: sending it back changes nothing
        return
    if problem := url_problem(url):
        raise InvalidInput(url=[problem])
    if row.auth == MCPServer.Auth.OAUTH:
        raise InvalidInput(
            url=["The sign-in belongs to the current address. Install the other address as a new server."]
        )
    if origin_of(httpx.URL(url)) != origin_of(httpx.URL(row.url)):
        raise InvalidInput(url=["This is a different server. Install it as a new one."])
    if row.auth == MCPServer.Auth.HEADER and not has_new_key:
        raise InvalidInput(header_value=["Enter the key again to use it with a different address."])
    columns = url_columns(url)
    changes["url"] = [row.url, columns["url"]]
    row.url, row.sealed_url = columns["url"], columns["sealed_url"]


@transaction.atomic
def remove_server(*, principal: Principal, slug: str) -> None:
    """Deletes it permanently with its key and sign-ins, and frees its slug. NotFound."""
    row = lock_server(find_server(principal=principal, slug=slug).id)
    _forget(row)
    audit.record("mcp_server.removed", principal=principal, target=row.slug, id=str(row.id))


def _forget(row: MCPServer) -> None:
    row.tools.all().delete()
    row.sign_ins.all().delete()
    row.pending_sign_ins.all().delete()
    row.sealed_header = row.sealed_client = row.sealed_url = ""
    row.waits_for_sign_in = False
    row.enabled, row.removed_at, row.version = False, timezone.now(), row.version + 1
    row.save()


def refresh_server(*, principal: Principal, slug: str) -> int:
    """Stores the tools that the server offers now; returns their number. NotFound, the server's errors."""
    row = find_server(principal=principal, slug=slug)
    return _call_out(refresh_tools, principal=principal, server_id=row.id)


def begin_sign_in(*, principal: Principal, slug: str, page: str = "") -> str:
    """The authorization URL to open in the person's browser. Errors: see `flow.begin_sign_in`."""
    return _call_out(flow.begin_sign_in, principal=principal, slug=slug, page=page)


def finish_sign_in(*, principal: Principal, secret: str, callback: flow.Callback) -> flow.SignedIn:
    """Completes a sign-in with the parameters of its callback. Errors: see `flow.finish_sign_in`."""
    return _call_out(flow.finish_sign_in, principal=principal, secret=secret, callback=callback)


def sign_out(*, principal: Principal, slug: str) -> None:
    """Deletes a sign-in and revokes its token at the server. NotFound, Forbidden."""
    _call_out(flow.sign_out, principal=principal, slug=slug)


def _call_out(work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs async work that enters the tenant by itself and calls servers, without holding a connection."""
    with connection_released():
        return async_to_sync(work)(*args, **kwargs)
