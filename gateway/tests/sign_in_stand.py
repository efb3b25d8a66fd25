"""Signing in at the protected MCP server: as a client of ours begins it, as a browser comes back."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.test import Client

from accounts.tests.cast import Cast, Person
from gateway.tests.events import read_events
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.tool_stand import MODEL, asks_for, say
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.client import Address
from workspaces.mcp_servers.connection import address_for
from workspaces.models import MCPServer, MCPSignIn

WHERE = "/v1/workspaces/sales/mcps/vault"
WITH_VAULT = {"model": MODEL, "mcps": ["vault"]}


def install(client: httpx.Client, vault: ProtectedMCP, sign_in: str = "member", **fields: Any) -> Any:
    body = {"slug": "vault", "url": f"{vault.url}/mcp", "auth": "oauth", "sign_in": sign_in, **fields}
    return client.post("/v1/workspaces/sales/mcps", json=body)


def begin(client: httpx.Client) -> str:
    answer = client.post(f"{WHERE}/sign-in")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["authorization_url"])


def granted(authorization_url: str) -> str:
    """What the authorization server says, as an address of ours to come back to."""
    parts = urlsplit(httpx.get(authorization_url).headers["location"])
    return f"{parts.path}?{parts.query}"


def come_back(person: Person, client: httpx.Client, path: str) -> httpx.Response:
    """In a browser in which the person is signed in."""
    return follow(person, client, path, Client())


def follow(person: Person, client: httpx.Client, path: str, browser: Client) -> httpx.Response:
    """With the session that the browser has already."""
    browser.force_login(person.user)
    cookies = {"sessionid": browser.cookies["sessionid"].value}
    with httpx.Client(base_url=client.base_url, cookies=cookies, timeout=30, verify=False) as web:
        return web.get(path, follow_redirects=True)


def sign_in(person: Person, client: httpx.Client) -> str:
    page = come_back(person, client, granted(begin(client)))
    assert page.status_code == 200
    return page.text


def use(client: httpx.Client, provider: ScriptedProvider) -> dict[str, Any]:
    """What a tool answered in a turn."""
    say(provider, asks_for(("open_mcp_vault", {"drawer": "left"})))
    told = {event.type: event.data for event in read_events(client, "open it", **WITH_VAULT)}
    return dict(told["tool_result"])


def kept(cast: Cast) -> list[MCPSignIn]:
    with tenant_scope(cast.alice.principal.tenant):
        return list(MCPSignIn.objects.order_by("created_at"))


def change_kept(cast: Cast, **fields: Any) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        MCPSignIn.objects.update(**fields)


def reached(cast: Cast, person: Person, times: int) -> list[Address]:
    """As that person would reach the server, so many times at the same moment."""
    with tenant_scope(cast.alice.principal.tenant):
        server_id = MCPServer.objects.get().id
    whom = {"tenant": person.principal.tenant, "user_id": person.principal.user_id}

    async def ask() -> list[Address]:
        calls = [address_for(server_id=server_id, **whom) for _ in range(times)]
        return await asyncio.gather(*calls)

    return asyncio.run(ask())
