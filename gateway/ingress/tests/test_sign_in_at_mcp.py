"""People sign in at a real MCP server by OAuth over real HTTP, and turns use what was granted."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.test import Client

from accounts.tests.cast import Cast, Person
from gateway.tests.events import read_events, send
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_stand import MODEL, asks_for, install_clever, say
from kit.tenancy import tenant_scope
from kit.tests.ports import free_port
from workspaces.models import MCPSignIn

WHERE = "/v1/workspaces/sales/mcps/vault"
WITH_VAULT = {"model": MODEL, "mcps": ["vault"]}


@pytest.fixture(scope="session")
def served_vault() -> Iterator[ProtectedMCP]:
    real = ProtectedMCP(port := free_port())
    with Served(real, lifespan="on", port=port):
        yield real


@pytest.fixture
def vault(served_vault: ProtectedMCP, cast: Cast, settings: Any, server: Served) -> ProtectedMCP:
    served_vault.reset()
    provider_url = settings.LOCAL_MODEL_URL
    settings.OUTBOUND_ALLOWED = [url.removeprefix("http://") for url in (served_vault.url, provider_url)]
    install_clever(cast.alice, provider_url)
    return served_vault


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
    browser = Client()
    browser.force_login(person.user)
    cookies = {"sessionid": browser.cookies["sessionid"].value}
    with httpx.Client(base_url=client.base_url, cookies=cookies, timeout=30) as web:
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


def test_a_member_signs_in_for_themselves(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    made = install(alice, vault).json()
    assert (made["enabled"], made["needs_sign_in"], made["tools"]) == (False, True, [])
    assert "Signed in at vault." in sign_in(cast.alice, alice)
    seen = alice.get(WHERE).json()
    assert (seen["enabled"], seen["needs_sign_in"], seen["tools"][0]["name"]) == (True, False, "open")
    refused = send(bob, "open it", **WITH_VAULT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "mcp_sign_in_needed")
    assert refused.json()["error"]["details"] == {"mcp": "vault", "how": "member"}
    told = bob.post("/v1/chat/explain", json={"message": "open it", **WITH_VAULT}).json()
    assert "mcp_sign_in_needed" in [check.get("code") for check in told["checks"]]
    sign_in(cast.bob, bob)
    assert use(bob, provider)["output"] == "left is open"
    with tenant_scope(cast.alice.principal.tenant):
        assert MCPSignIn.objects.count() == 2
