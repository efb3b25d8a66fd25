"""Signs in to the protected MCP server: the start by a client of ours, and the browser's return."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.test import Client

from accounts.tests.cast import Cast, Person
from gateway.tests.events import read_events
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.tool_setup import MODEL, asks_for, say
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
    """The redirect of the authorization server to our callback."""
    parts = urlsplit(httpx.get(authorization_url).headers["location"])
    return f"{parts.path}?{parts.query}"


def come_back(person: Person, client: httpx.Client, path: str) -> httpx.Response:
    """Calls the callback in a browser in which the person is signed in."""
    return follow(person, client, path, Client())


def follow(person: Person, client: httpx.Client, path: str, browser: Client) -> httpx.Response:
    """Calls the callback with the browser's existing session."""
    browser.force_login(person.user)
    cookies = {"sessionid": browser.cookies["sessionid"].value}
    with httpx.Client(base_url=client.base_url, cookies=cookies, timeout=30, verify=False) as web:
        return web.get(path, follow_redirects=True)


def sign_in(person: Person, client: httpx.Client) -> str:
    page = come_back(person, client, granted(begin(client)))
    assert page.status_code == 200
    return page.text


def use(client: httpx.Client, provider: ScriptedProvider) -> dict[str, Any]:
    """The result of a tool in a turn."""
    say(provider, asks_for(("open_mcp_vault", {"drawer": "left"})))
    events = {event.type: event.data for event in read_events(client, "open it", **WITH_VAULT)}
    return dict(events["tool_result"])


def stored_sign_ins(cast: Cast) -> list[MCPSignIn]:
    with tenant_scope(cast.alice.principal.tenant):
        return list(MCPSignIn.objects.order_by("created_at"))


def change_kept(cast: Cast, **fields: Any) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        MCPSignIn.objects.update(**fields)


def reached(cast: Cast, person: Person, times: int) -> list[Address]:
    """The server's address for that person, requested `times` times concurrently."""
    with tenant_scope(cast.alice.principal.tenant):
        server_id = MCPServer.objects.get().id
    caller = {"tenant": person.principal.tenant, "user_id": person.principal.user_id}

    async def ask() -> list[Address]:
        calls = [address_for(server_id=server_id, **caller) for _ in range(times)]
        return await asyncio.gather(*calls)

    return asyncio.run(ask())
