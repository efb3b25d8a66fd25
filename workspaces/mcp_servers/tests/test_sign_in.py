"""People sign in at a real MCP server by OAuth over HTTP; other people's sign-ins are refused."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.test import Client
from django.utils import timezone
from mcp.shared.auth import OAuthClientInformationFull

from accounts.tests.cast import Cast
from gateway.tests.events import send
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.real_mcp import BadMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.sign_in_setup import (
    WHERE,
    WITH_VAULT,
    begin,
    come_back,
    follow,
    granted,
    install,
    sign_in,
    stored_sign_ins,
    use,
)
from kit.secrets import seal, unseal
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.tool_store import note_problem
from workspaces.models import MCPServer, PendingSignIn


def test_a_member_signs_in_for_themselves(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    made = install(alice, vault).json()
    assert (made["enabled"], made["needs_sign_in"], made["tools"]) == (False, True, [])
    assert "Signed in to vault." in sign_in(cast.alice, alice)
    seen = alice.get(WHERE).json()
    assert (seen["enabled"], seen["needs_sign_in"], seen["tools"][0]["name"]) == (True, False, "open")
    refused = send(bob, "open it", **WITH_VAULT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "mcp_sign_in_needed")
    assert refused.json()["error"]["details"] == {"mcp": "vault", "how": "member"}
    explained = bob.post("/v1/chat/explain", json={"message": "open it", **WITH_VAULT}).json()
    assert "mcp_sign_in_needed" in [check.get("code") for check in explained["checks"]]
    sign_in(cast.bob, bob)
    assert use(bob, provider)["output"] == "left is open"
    assert len(stored_sign_ins(cast)) == 2
    assert alice.delete(f"{WHERE}/sign-in").status_code == 204
    assert alice.post(f"{WHERE}/refresh").json()["error"]["code"] == "mcp_sign_in_needed"
    assert alice.get(WHERE).json()["problem"] == ""  # her problem, not the server's


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
    [row] = stored_sign_ins(cast)
    assert row.user_id is None
    assert alice.delete(f"{WHERE}/sign-in").status_code == 204
    assert (stored_sign_ins(cast), vault.provider.revoked) == ([], [unseal(row.sealed_refresh)])
    refused = send(bob, "open it", **WITH_VAULT).json()["error"]
    assert (refused["code"], refused["details"]["how"]) == ("mcp_sign_in_needed", "workspace")


def test_a_sign_in_belongs_to_one_person_and_works_once(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    for stranger in (cast.bob, cast.dana, cast.charlie):
        assert come_back(stranger, alice, path).status_code == 404
    assert stored_sign_ins(cast) == []
    assert come_back(cast.alice, alice, path).status_code == 200
    assert come_back(cast.alice, alice, path).status_code == 404
    assert len(stored_sign_ins(cast)) == 1
    late = granted(begin(alice))
    with tenant_scope(cast.alice.principal.tenant):
        PendingSignIn.objects.update(expires_at=timezone.now())
    assert come_back(cast.alice, alice, late).status_code == 404


def test_an_invalid_callback_is_not_found(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    for state in ("", "x", "acme.sales.wrong", "no.such.one", "a.b.%00", "acme.sales.a.b", "acme.sales."):
        page = come_back(cast.alice, client_of(cast.alice), f"/mcp/callback?state={state}&code=y")
        assert page.status_code == 404
        assert "Start again" in page.text


def test_a_callback_without_a_session_continues_after_signing_in(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    browser = Client()
    answer = browser.get(path)
    assert answer.status_code == 302
    bare = path.partition("?")[0]
    assert answer.headers["location"] == f"/accounts/login/?next={bare}"  # with neither code nor state
    assert "Signed in to vault." in follow(cast.alice, alice, bare, browser).text


def test_the_server_checks_the_pkce_verifier(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    with tenant_scope(cast.alice.principal.tenant):
        PendingSignIn.objects.update(sealed_verifier=seal("x" * 64))
    assert "did not accept the sign-in" in come_back(cast.alice, alice, path).text
    assert stored_sign_ins(cast) == []


def test_a_callback_from_another_issuer_is_refused(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    for issuer, promised in (("https://evil.example", False), (None, True), (vault.url, True)):
        assert stored_sign_ins(cast) == []
        vault.provider.tells_issuer = issuer
        vault.metadata = {"authorization_response_iss_parameter_supported": promised}
        page = come_back(cast.alice, alice, granted(begin(alice)))
        assert ("Signed in to vault." in page.text) == (issuer == vault.url)
    assert len(stored_sign_ins(cast)) == 1


def test_the_first_sign_in_lists_the_tools_even_after_a_failed_check(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    install(client_of(cast.alice), vault)
    assert client_of(cast.alice).patch(WHERE, json={"enabled": True}).is_success
    with tenant_scope(cast.alice.principal.tenant):
        note_problem(server_id=MCPServer.objects.get().id, problem="It did not answer.")
    bob = client_of(cast.bob)
    sign_in(cast.bob, bob)
    assert [tool["name"] for tool in bob.get(WHERE).json()["tools"]] == ["open"]


def test_each_server_has_its_own_redirect_uri(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    """An honest server's code must not reach a hostile server that sent the person there."""
    alice = client_of(cast.alice)
    install(alice, vault)
    for elsewhere in ("/mcp/callback", "/mcp/back/0123456789abcdef"):
        query = granted(begin(alice)).partition("?")[2]
        page = come_back(cast.alice, alice, f"{elsewhere}?{query}")
        assert "came from a different server" in page.text
    assert stored_sign_ins(cast) == []


def test_a_key_in_the_query_is_not_sent_to_the_authorization_server(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault, url=f"{vault.url}/mcp?key=secret-of-ours")
    address = begin(alice)
    assert "secret-of-ours" not in address
    with tenant_scope(cast.alice.principal.tenant):
        row = MCPServer.objects.get()
    assert "secret-of-ours" not in f"{row.url} {row.authorization}"
    come_back(cast.alice, alice, granted(address))
    assert [tool["name"] for tool in alice.get(WHERE).json()["tools"]] == ["open"]


def test_a_denied_sign_in_is_explained(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    vault.provider.denies = True
    alice = client_of(cast.alice)
    install(alice, vault)
    page = come_back(cast.alice, alice, granted(begin(alice)))
    assert "You did not allow access" in page.text
    assert stored_sign_ins(cast) == []


UNSAFE: list[tuple[dict[str, Any], str]] = [
    ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
    ({"code_challenge_methods_supported": None}, "PKCE"),
    ({"authorization_endpoint": "http://evil.example/authorize"}, "must use https"),
    ({"authorization_endpoint": "javascript:alert(1)"}, "could not be discovered"),
    ({"issuer": "https://evil.example"}, "is not valid"),
    ({"scopes_supported": ["all\0"]}, "is not valid"),
    ({"issuer": None}, "could not be discovered"),
]


def test_an_unsafe_sign_in_is_refused(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    for metadata, words in UNSAFE:
        vault.metadata = metadata
        refused = install(alice, vault)
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "mcp_sign_in_failed")
        assert words in refused.json()["error"]["message"]
    assert alice.get("/v1/workspaces/sales/mcps").json()["data"] == []


def test_a_misbehaving_server_has_no_sign_in(
    vault: ProtectedMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    bad = BadMCP()
    with Served(bad) as server:
        settings.OUTBOUND_ALLOWED = [server.url.removeprefix("http://")]
        for bad.manner in ("html", "binary", "teapot", "huge"):
            refused = install(client_of(cast.alice), vault, url=f"{server.url}/mcp")
            code = "upstream_too_large" if bad.manner == "huge" else "mcp_sign_in_failed"
            assert (refused.status_code, refused.json()["error"]["code"]) == (502, code)
    settings.OUTBOUND_ALLOWED = []
    refused = install(client_of(cast.alice), vault)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "address_refused")


def test_a_client_that_was_registered_by_hand_is_used(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    vault.metadata = {"registration_endpoint": None}
    alice = client_of(cast.alice)
    install(alice, vault)
    refused = alice.post(f"{WHERE}/sign-in").json()["error"]
    assert (refused["code"], "client ID" in refused["message"]) == ("mcp_sign_in_failed", True)
    by_hand = {"slug": "other", "client_id": "by-hand", "client_secret": "hand-made"}
    made = install(alice, vault, **by_hand)
    assert "hand-made" not in made.text
    address = alice.post("/v1/workspaces/sales/mcps/other/sign-in").json()["authorization_url"]
    assert "client_id=by-hand" in address
    (back,) = parse_qs(urlsplit(address).query)["redirect_uri"]
    browser = Client()
    browser.force_login(cast.alice.user)
    assert back in browser.get("/t/acme/w/sales/mcps/other").content.decode()
    vault.provider.clients["by-hand"] = OAuthClientInformationFull(
        client_id="by-hand",
        client_secret="hand-made",
        redirect_uris=[back],  # type: ignore[list-item]
        token_endpoint_auth_method="client_secret_post",
    )
    path = "/v1/workspaces/sales/mcps/other"
    assert alice.patch(path, json={"client_secret": "wrong"}).status_code == 200
    assert "did not accept" in come_back(cast.alice, alice, granted(address)).text
    assert alice.patch(path, json={"client_secret": "hand-made"}).status_code == 200
    refused = alice.patch(WHERE, json={"client_secret": "hand-made"})
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["client_secret"])
    address = alice.post(f"{path}/sign-in").json()["authorization_url"]
    assert "Signed in to other." in come_back(cast.alice, alice, granted(address)).text


def test_client_id_metadata_documents_are_used_where_supported(
    vault: ProtectedMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    reads = {"registration_endpoint": None, "client_id_metadata_document_supported": True}
    vault.metadata = reads
    alice = client_of(cast.alice)
    document = alice.get("/mcp/client.json").json()
    settings.SITE_URL = "https://switchyard.example"
    install(alice, vault)
    refused = alice.post(f"{WHERE}/sign-in")  # its responses would not name the issuer
    assert refused.json()["error"]["code"] == "mcp_sign_in_failed"
    vault.metadata = {**reads, "authorization_response_iss_parameter_supported": True}
    asked = parse_qs(urlsplit(begin(alice)).query)
    assert asked["client_id"] == ["https://switchyard.example/mcp/client.json"]
    assert asked["redirect_uri"] == ["https://switchyard.example/mcp/callback"]
    assert document["client_id"].endswith("/mcp/client.json")
    assert document["redirect_uris"][0].endswith("/mcp/callback")
