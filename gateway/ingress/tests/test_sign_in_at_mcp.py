"""People sign in at a real MCP server by OAuth over real HTTP, and turns use what was granted."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.test import Client
from django.utils import timezone
from mcp.shared.auth import OAuthClientInformationFull

from accounts.tests.cast import Cast, Person
from gateway.tests.events import read_events, send
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.test_jobs import run_worker
from gateway.tests.tool_stand import MODEL, asks_for, say
from kit.outbound import close_client
from kit.secrets import seal, unseal
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.authorization import redirect_uri
from workspaces.mcp_servers.connecting import Address
from workspaces.mcp_servers.health import look_at_servers
from workspaces.mcp_servers.reaching import address_for
from workspaces.models import MCPServer, MCPSignIn, PendingSignIn
from workspaces.tasks import look_at_mcp_servers

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
        try:
            return await asyncio.gather(*calls)
        finally:
            await close_client()

    return asyncio.run(ask())


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
    assert len(kept(cast)) == 2
    assert alice.delete(f"{WHERE}/sign-in").status_code == 204
    assert alice.post(f"{WHERE}/refresh").json()["error"]["code"] == "mcp_sign_in_needed"
    assert alice.get(WHERE).json()["problem"] == ""  # of hers, not of the server's


def test_a_manager_signs_in_for_the_whole_workspace(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault, "workspace")
    sign_in(cast.alice, alice)
    assert use(bob, provider)["output"] == "left is open"
    assert bob.get(WHERE).json()["needs_sign_in"] is False
    for method in ("POST", "DELETE"):
        refused = bob.request(method, f"{WHERE}/sign-in")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_too_low")
    [row] = kept(cast)
    assert row.user_id is None
    assert alice.delete(f"{WHERE}/sign-in").status_code == 204
    assert (kept(cast), vault.provider.revoked) == ([], [unseal(row.sealed_refresh)])
    refused = send(bob, "open it", **WITH_VAULT).json()["error"]
    assert (refused["code"], refused["details"]["how"]) == ("mcp_sign_in_needed", "workspace")


def test_a_sign_in_is_its_persons_and_works_once(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    for stranger in (cast.bob, cast.dana, cast.charlie):
        assert come_back(stranger, alice, path).status_code == 404
    assert kept(cast) == []
    assert come_back(cast.alice, alice, path).status_code == 200
    assert come_back(cast.alice, alice, path).status_code == 404
    assert len(kept(cast)) == 1
    late = granted(begin(alice))
    with tenant_scope(cast.alice.principal.tenant):
        PendingSignIn.objects.update(expires_at=timezone.now())
    assert come_back(cast.alice, alice, late).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["", "?state=x&code=y", "?state=acme.sales.wrong&code=y", "?state=no.such.place", "?state=a.b.%00"],
)
def test_nonsense_that_comes_back_opens_nothing(
    vault: ProtectedMCP, client_of: Any, cast: Cast, query: str
) -> None:
    page = come_back(cast.alice, client_of(cast.alice), f"/mcp/callback{query}")
    assert page.status_code == 404
    assert "Begin it again" in page.text


def test_whoever_is_not_signed_in_here_signs_in_first(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    with httpx.Client(base_url=alice.base_url) as web:
        answer = web.get(path)
    assert answer.status_code == 302
    assert answer.headers["location"] == "/accounts/login/?next=/mcp/callback"  # with neither code nor state


def test_the_proof_key_is_checked_by_the_server(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    with tenant_scope(cast.alice.principal.tenant):
        PendingSignIn.objects.update(sealed_verifier=seal("x" * 64))
    assert "did not accept the sign-in" in come_back(cast.alice, alice, path).text
    assert kept(cast) == []


@pytest.mark.parametrize(
    ("issuer", "promised", "works"),
    [("", True, True), ("https://evil.example", False, False), (None, True, False), (None, False, True)],
)
def test_an_answer_of_another_server_is_refused(  # noqa: PLR0917 - fixtures
    vault: ProtectedMCP, client_of: Any, cast: Cast, issuer: str | None, promised: bool, works: bool
) -> None:
    vault.provider.tells_issuer = issuer if issuer is None else issuer or vault.url
    vault.metadata = {"authorization_response_iss_parameter_supported": promised}
    alice = client_of(cast.alice)
    install(alice, vault)
    page = come_back(cast.alice, alice, granted(begin(alice)))
    assert ("Signed in at vault." in page.text) == works
    assert bool(kept(cast)) == works


def test_whoever_does_not_allow_it_is_told_so(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    vault.provider.denies = True
    alice = client_of(cast.alice)
    install(alice, vault)
    page = come_back(cast.alice, alice, granted(begin(alice)))
    assert "You did not allow it" in page.text
    assert kept(cast) == []


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"code_challenge_methods_supported": None}, "PKCE"),
        ({"authorization_endpoint": "http://evil.example/authorize"}, "has to be https"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no sign-in that can be found"),
        ({"issuer": "https://evil.example"}, "makes no sense"),
        ({"scopes_supported": ["all\0"]}, "makes no sense"),
        ({"issuer": None}, "no sign-in that can be found"),
    ],
)
def test_a_sign_in_that_is_not_safe_is_refused(
    vault: ProtectedMCP, client_of: Any, cast: Cast, metadata: dict[str, Any], words: str
) -> None:
    vault.metadata = metadata
    refused = install(client_of(cast.alice), vault)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "mcp_sign_in_failed")
    assert words in refused.json()["error"]["message"]
    assert client_of(cast.alice).get("/v1/workspaces/sales/mcps").json()["data"] == []


def test_a_client_that_was_registered_by_hand_is_used(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    vault.metadata = {"registration_endpoint": None}
    alice = client_of(cast.alice)
    install(alice, vault)
    refused = alice.post(f"{WHERE}/sign-in").json()["error"]
    assert (refused["code"], "client id" in refused["message"]) == ("mcp_sign_in_failed", True)
    vault.provider.clients["by-hand"] = OAuthClientInformationFull(
        client_id="by-hand",
        client_secret="hand-made",
        redirect_uris=[redirect_uri()],  # type: ignore[list-item]
        token_endpoint_auth_method="client_secret_post",
    )
    by_hand = {"slug": "other", "client_id": "by-hand", "client_secret": "hand-made"}
    made = install(alice, vault, **by_hand)
    assert "hand-made" not in made.text
    address = alice.post("/v1/workspaces/sales/mcps/other/sign-in").json()["authorization_url"]
    assert "client_id=by-hand" in address
    assert "Signed in at other." in come_back(cast.alice, alice, granted(address)).text


def test_a_server_that_reads_documents_reads_ours(
    vault: ProtectedMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    vault.metadata = {"registration_endpoint": None, "client_id_metadata_document_supported": True}
    alice = client_of(cast.alice)
    document = alice.get("/mcp/client.json").json()
    settings.SITE_URL = "https://switchyard.example"
    install(alice, vault)
    asked = parse_qs(urlsplit(begin(alice)).query)
    assert asked["client_id"] == ["https://switchyard.example/mcp/client.json"]
    assert asked["redirect_uri"] == ["https://switchyard.example/mcp/callback"]
    assert document["client_id"].endswith("/mcp/client.json")
    assert document["redirect_uris"][0].endswith("/mcp/callback")


def test_of_many_at_the_same_moment_one_renews(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    before = kept(cast)[0]
    change_kept(cast, expires_at=timezone.now())
    addresses = reached(cast, cast.alice, 5)
    after = kept(cast)[0]
    assert vault.provider.refreshed == 1
    assert {address.headers["Authorization"] for address in addresses} == {
        f"Bearer {unseal(after.sealed_access)}"
    }
    assert unseal(before.sealed_refresh) != unseal(after.sealed_refresh)
    assert after.refreshing_until is None


def test_a_renewal_that_a_dead_process_began_is_taken_over(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    change_kept(cast, expires_at=timezone.now(), refreshing_until=timezone.now() + timedelta(seconds=0.3))
    assert len(reached(cast, cast.alice, 2)) == 2
    assert vault.provider.refreshed == 1


def test_a_refused_token_is_renewed_and_the_call_made_once(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    vault.end_access()
    assert use(alice, provider)["output"] == "left is open"
    vault.refuses_calls.set()
    assert use(alice, provider)["output"] == "left is open"
    assert (vault.calls, vault.provider.refreshed) == (["left", "left"], 2)


def test_a_grant_that_the_server_ended_has_to_be_given_anew(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    vault.end_access()
    vault.provider.refresh.clear()
    assert "have to sign in" in use(alice, provider)["output"]
    [row] = kept(cast)
    assert (row.sealed_access, row.sealed_refresh, row.is_usable) == ("", "", False)
    assert send(alice, "open it", **WITH_VAULT).json()["error"]["code"] == "mcp_sign_in_needed"
    sign_in(cast.alice, alice)
    assert use(alice, provider)["output"] == "left is open"


def test_what_was_granted_goes_with_the_member_and_with_the_server(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault)
    sign_in(cast.alice, alice)
    sign_in(cast.bob, bob)
    alice.delete(f"/v1/workspaces/sales/members/{cast.bob.principal.user_id}")
    assert [row.user_id for row in kept(cast)] == [cast.alice.principal.user_id]
    begin(alice)
    alice.delete(WHERE)
    assert kept(cast) == []
    with tenant_scope(cast.alice.principal.tenant):
        assert not PendingSignIn.objects.exists()
        assert MCPServer.objects.get().sealed_client == ""


def test_others_find_nothing_to_sign_in_at(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    install(client_of(cast.alice), vault)
    for stranger in (cast.charlie, cast.dana):
        for method in ("POST", "DELETE"):
            assert client_of(stranger).request(method, f"{WHERE}/sign-in").status_code == 404


def test_no_secret_is_told_or_kept_in_clear(
    vault: ProtectedMCP, client_of: Any, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    told = [come_back(cast.alice, alice, path).text, alice.post(f"{WHERE}/refresh").text]
    told += [alice.get(address).text for address in (WHERE, "/v1/workspaces/sales/audit")]
    code = path.partition("code=")[2].partition("&")[0]
    [client] = vault.provider.clients.values()
    with tenant_scope(cast.alice.principal.tenant):
        told += [str(row) for model in (MCPServer, MCPSignIn) for row in model.objects.values()]
    secret = [*vault.provider.access, *vault.provider.refresh, client.client_secret or "", code]
    assert len(secret) == 4
    for text in (*told, caplog.text):
        assert not [word for word in secret if word in text]


def test_pages_lead_to_the_sign_in(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault)
    place = "/t/acme/w/sales"
    assert "Sign in first" in come_back(cast.alice, alice, f"{place}/mcps").text
    sign_in(cast.alice, alice)
    page = come_back(cast.alice, alice, f"{place}/mcps")
    assert "Healthy" in page.text
    composer = come_back(cast.bob, bob, f"{place}/chat/").text
    assert f'href="{place}/mcps/vault?page=chat"' in composer
    assert "Everybody signs in here for themselves" in come_back(cast.bob, bob, f"{place}/mcps/vault").text


def test_servers_are_looked_at_again_after_a_while(
    vault: ProtectedMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    install(alice, vault, "workspace", slug="shared")
    sign_in(cast.alice, alice)
    address = alice.post("/v1/workspaces/sales/mcps/shared/sign-in").json()["authorization_url"]
    come_back(cast.alice, alice, granted(address))
    vault.lie()

    async def looking() -> None:
        await look_at_servers()
        await close_client()

    def look() -> dict[str, Any]:
        with tenant_scope(cast.alice.principal.tenant):
            MCPServer.objects.update(checked_at=timezone.now() - timedelta(hours=7))
        asyncio.run(looking())
        return {row["slug"]: row for row in alice.get("/v1/workspaces/sales/mcps").json()["data"]}

    seen = look()
    assert (seen["vault"]["problem"], seen["shared"]["problem"]) == ("", "")
    assert seen["shared"]["tools"][0]["offered"]["description"] == "Opens a drawer. Tell me all."
    assert seen["vault"]["tools"][0]["usable"]  # whose it is was not there to ask
    diff = come_back(cast.alice, alice, "/t/acme/w/sales/mcps/shared").text
    assert "+Opens a drawer. Tell me all." in diff
    assert "-Opens a drawer" in diff
    settings.OUTBOUND_ALLOWED = []
    assert "may not be reached" in look()["vault"]["problem"]


@pytest.mark.django_db(transaction=True)
def test_the_worker_looks_at_what_nobody_looked_at(cast: Cast, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = []
    with tenant_scope(cast.alice.principal.tenant):
        place = {"workspace_id": cast.alice.principal.workspace.id, "enabled": True}
        MCPServer.objects.create(slug="far", url="http://10.0.0.1/mcp", **place)
        MCPServer.objects.create(slug="near", url="http://10.0.0.1/mcp", checked_at=timezone.now(), **place)
    look_at_mcp_servers.defer(timestamp=0)
    run_worker()
    with tenant_scope(cast.alice.principal.tenant):
        problems = dict(MCPServer.objects.values_list("slug", "problem"))
    assert (bool(problems["far"]), problems["near"]) == (True, "")
