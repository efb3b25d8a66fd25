"""What managers do with MCP servers: install, change and remove them."""

from typing import Any

import httpx
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput
from kit.outbound import origin_of
from kit.secrets import seal
from workspaces.mcp_servers.inputs import ServerWish, header_problems, url_problem
from workspaces.mcp_servers.inspection import Found
from workspaces.mcp_servers.models import MCPServer, Tool
from workspaces.mcp_servers.oauth.token_store import sealed_client, with_secret
from workspaces.mcp_servers.queries import find_server, installed_servers, lock_server, new_tool
from workspaces.mcp_servers.urls import kept_url

MOST_SERVERS = 50  # of a workspace


@transaction.atomic
def install_server(*, principal: Principal, wish: ServerWish, found: Found) -> MCPServer:
    """Keeps a server with what it showed; one that wants a sign-in is enabled by the first.

    InvalidInput, Conflict for a slug that is or was taken.
    """
    wish.check()
    if installed_servers(principal.workspace.id).count() >= MOST_SERVERS:
        raise Conflict(f"A workspace can have at most {MOST_SERVERS} MCP servers.")
    is_keyed = wish.auth == MCPServer.Auth.HEADER
    waits = found.authorization is not None
    try:
        with transaction.atomic():
            row = MCPServer.objects.create(
                workspace_id=principal.workspace.id,
                slug=wish.slug,
                name=wish.name,
                **kept_url(wish.url),
                transport=wish.transport,
                auth=wish.auth,
                header_name=wish.header_name if is_keyed else "",
                sealed_header=seal(wish.header_value) if is_keyed else "",
                sign_in=wish.who_signs_in,
                authorization=found.authorization.as_data() if found.authorization else None,
                sealed_client=_client_of(wish, found),
                enabled=wish.enabled and not waits,
                waits_for_sign_in=wish.enabled and waits,
                checked_at=None if waits else timezone.now(),
                listed_at=None if waits else timezone.now(),
            )
    except IntegrityError as exc:
        raise Conflict(
            f"The name {wish.slug} is taken or was already used. Choose another.", slug=wish.slug
        ) from exc
    Tool.objects.bulk_create([new_tool(row, tool, is_allowed=True) for tool in found.tools])
    audit.record(
        "mcp_server.installed",
        principal=principal,
        target=row.slug,
        url=row.url,
        enabled=row.enabled,
    )
    return row


def _client_of(wish: ServerWish, found: Found) -> str:
    """Whom a manager registered by hand, for where one signs in now: their secret goes nowhere else."""
    if wish.client is None or found.authorization is None:
        return ""
    client = wish.client.at(found.authorization)
    return sealed_client(client) if client else ""


@transaction.atomic
def change_server(*, principal: Principal, slug: str, **wanted: Any) -> MCPServer:
    """`name`, `enabled`, `url`, `header_value`, `client_secret`: whatever is named. An address at another
    host is a new installation, and any other takes the header's key anew, so that no key goes to where its
    owner never sent it."""
    row = lock_server(find_server(place=principal, slug=slug).id)
    changes = audit.change(row, wanted, ("name", "enabled"))
    if "enabled" in changes:
        row.waits_for_sign_in = False
    if wanted.get("url") is not None:
        _change_address(row, wanted["url"], changes, is_keyed_anew=bool(wanted.get("header_value")))
    if wanted.get("header_value") is not None:
        if row.auth != MCPServer.Auth.HEADER:
            raise InvalidInput(header_value=["This server does not use a header."])
        if wrong := header_problems(row.header_name, wanted["header_value"]):
            raise InvalidInput(**wrong)
        row.sealed_header = seal(wanted["header_value"])
        changes["header_key"] = ["", ""]
    if wanted.get("client_secret") is not None:
        row.sealed_client = with_secret(row, wanted["client_secret"])
        changes["client_key"] = ["", ""]
    if changes:
        row.version += 1
        row.save()
        audit.record("mcp_server.changed", principal=principal, target=row.slug, changes=changes)
    return row


def _change_address(row: MCPServer, url: str, changes: dict[str, list[Any]], *, is_keyed_anew: bool) -> None:
    if url == row.url:  # as it is shown: whoever sends it back changes nothing
        return
    if problem := url_problem(url):
        raise InvalidInput(url=[problem])
    if row.auth == MCPServer.Auth.OAUTH:
        raise InvalidInput(
            url=["The sign-in belongs to the current address. Install the other address as a new server."]
        )
    if origin_of(httpx.URL(url)) != origin_of(httpx.URL(row.url)):
        raise InvalidInput(url=["This is a different server. Install it as a new one."])
    if row.auth == MCPServer.Auth.HEADER and not is_keyed_anew:
        raise InvalidInput(header_value=["Enter the key again to use it with a different address."])
    kept = kept_url(url)
    changes["url"] = [row.url, kept["url"]]
    row.url, row.sealed_url = kept["url"], kept["sealed_url"]


@transaction.atomic
def remove_server(*, principal: Principal, slug: str) -> None:
    """For good: its key is deleted; its name is not given again."""
    row = lock_server(find_server(place=principal, slug=slug).id)
    _forget(row)
    audit.record("mcp_server.removed", principal=principal, target=row.slug)


def _forget(row: MCPServer) -> None:
    row.tools.all().delete()
    row.sign_ins.all().delete()
    row.pending_sign_ins.all().delete()
    row.sealed_header = row.sealed_client = row.sealed_url = ""
    row.waits_for_sign_in = False
    row.enabled, row.removed_at, row.version = False, timezone.now(), row.version + 1
    row.save()
