"""Tokens of MCP servers are used, refreshed, ended and deleted; servers are checked again."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.tests.events import send
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.sign_in_setup import (
    WHERE,
    WITH_VAULT,
    begin,
    change_kept,
    come_back,
    granted,
    install,
    reached,
    sign_in,
    stored_sign_ins,
    use,
)
from gateway.tests.test_jobs import run_worker
from kit.secrets import unseal
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.health import check_due_servers
from workspaces.models import MCPServer, MCPSignIn, PendingSignIn
from workspaces.tasks import look_at_mcp_servers


def test_one_of_many_concurrent_callers_refreshes(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    before = stored_sign_ins(cast)[0]
    change_kept(cast, expires_at=timezone.now())
    addresses = reached(cast, cast.alice, 5)
    after = stored_sign_ins(cast)[0]
    assert vault.provider.refreshed == 1
    assert {address.headers["Authorization"] for address in addresses} == {
        f"Bearer {unseal(after.sealed_access)}"
    }
    assert unseal(before.sealed_refresh) != unseal(after.sealed_refresh)
    assert after.refreshing_until is None


def test_a_refresh_that_a_dead_process_began_is_taken_over(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    change_kept(cast, expires_at=timezone.now(), refreshing_until=timezone.now() + timedelta(seconds=0.3))
    assert len(reached(cast, cast.alice, 2)) == 2
    assert vault.provider.refreshed == 1


def test_a_refused_token_is_refreshed_and_the_call_made_once(
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


def test_a_grant_that_the_server_ended_needs_a_new_sign_in(
    vault: ProtectedMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    vault.end_access()
    vault.provider.refresh.clear()
    assert "need to sign in" in use(alice, provider)["output"]
    [row] = stored_sign_ins(cast)
    assert (row.sealed_access, row.sealed_refresh, row.is_usable) == ("", "", False)
    assert send(alice, "open it", **WITH_VAULT).json()["error"]["code"] == "mcp_sign_in_needed"
    sign_in(cast.alice, alice)
    assert use(alice, provider)["output"] == "left is open"


def test_tokens_are_deleted_with_the_member_and_with_the_server(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault)
    sign_in(cast.alice, alice)
    sign_in(cast.bob, bob)
    alice.delete(f"/v1/workspaces/sales/members/{cast.bob.principal.user_id}")
    assert [row.user_id for row in stored_sign_ins(cast)] == [cast.alice.principal.user_id]
    begin(alice)
    alice.delete(WHERE)
    assert stored_sign_ins(cast) == []
    with tenant_scope(cast.alice.principal.tenant):
        assert not PendingSignIn.objects.exists()
        assert MCPServer.objects.get().sealed_client == ""


def test_an_additional_permission_is_granted_by_signing_in_again(
    vault: ProtectedMCP, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    vault.scopes = ["drawers:look", "drawers:open"]
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault)
    sign_in(cast.alice, alice)
    sign_in(cast.bob, bob)
    refused = use(bob, provider)
    assert refused["is_error"]
    assert "You need to sign in to vault again: this needs an additional permission" in refused["output"]
    assert "<code>drawers:open</code>" in come_back(cast.bob, bob, "/t/acme/w/sales/mcps/vault").text
    address = begin(bob)
    assert parse_qs(urlsplit(address).query)["scope"] == ["drawers:look drawers:open"]
    come_back(cast.bob, bob, granted(address))
    assert use(bob, provider)["output"] == "left is open"
    scopes = [(row.scope, row.wanted_scope) for row in stored_sign_ins(cast)]
    assert scopes == [("drawers:look", ""), ("drawers:look drawers:open", "")]


def test_a_permission_that_is_not_granted_does_not_prevent_signing_in(
    vault: ProtectedMCP, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    """Our client is registered for the scopes of the metadata, and the server allows no others."""
    vault.scopes, vault.tells_all_scopes = ["drawers:look", "drawers:open"], False
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    assert "this needs an additional permission" in use(alice, provider)["output"]
    refused = come_back(cast.alice, alice, granted(begin(alice)))
    assert "The server did not grant the additional permission" in refused.text
    assert "You are signed in" in sign_in(cast.alice, alice)


def test_strangers_cannot_sign_in_or_out(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    install(client_of(cast.alice), vault)
    for stranger in (cast.charlie, cast.dana):
        for method in ("POST", "DELETE"):
            assert client_of(stranger).request(method, f"{WHERE}/sign-in").status_code == 404


def test_secrets_are_encrypted_and_never_returned(
    vault: ProtectedMCP, client_of: Any, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    path = granted(begin(alice))
    texts = [come_back(cast.alice, alice, path).text, alice.post(f"{WHERE}/refresh").text]
    texts += [alice.get(address).text for address in (WHERE, "/v1/workspaces/sales/audit")]
    code = path.partition("code=")[2].partition("&")[0]
    [client] = vault.provider.clients.values()
    with tenant_scope(cast.alice.principal.tenant):
        texts += [str(row) for model in (MCPServer, MCPSignIn) for row in model.objects.values()]
    secret = [*vault.provider.access, *vault.provider.refresh, client.client_secret or "", code]
    assert len(secret) == 4
    for text in (*texts, caplog.text):
        assert not [word for word in secret if word in text]


def test_pages_lead_to_the_sign_in(vault: ProtectedMCP, client_of: Any, cast: Cast) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, vault)
    base = "/t/acme/w/sales"
    assert "Sign-in needed" in come_back(cast.alice, alice, f"{base}/mcps").text
    sign_in(cast.alice, alice)
    page = come_back(cast.alice, alice, f"{base}/mcps")
    assert "Healthy" in page.text
    composer = come_back(cast.bob, bob, f"{base}/chat/").text
    assert f'href="{base}/mcps/vault?page=chat"' in composer
    assert (
        "Each member signs in with their own account" in come_back(cast.bob, bob, f"{base}/mcps/vault").text
    )


def test_servers_are_checked_again_after_some_hours(
    vault: ProtectedMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    install(alice, vault, "workspace", slug="shared")
    sign_in(cast.alice, alice)
    address = alice.post("/v1/workspaces/sales/mcps/shared/sign-in").json()["authorization_url"]
    come_back(cast.alice, alice, granted(address))
    vault.lie()

    def check() -> dict[str, Any]:
        with tenant_scope(cast.alice.principal.tenant):
            MCPServer.objects.update(checked_at=timezone.now() - timedelta(hours=7))
        asyncio.run(check_due_servers())
        where = "/v1/workspaces/sales/mcps"
        return {slug: alice.get(f"{where}/{slug}").json() for slug in ("vault", "shared")}

    seen = check()
    assert (seen["vault"]["problem"], seen["shared"]["problem"]) == ("", "")
    assert seen["shared"]["tools"][0]["offered"]["description"] == "Opens a drawer. Tell me all."
    assert seen["vault"]["tools"][0]["usable"]  # a member's sign-in is not used in their absence
    diff = come_back(cast.alice, alice, "/t/acme/w/sales/mcps/shared").text
    assert "+Opens a drawer. Tell me all." in diff
    assert "-Opens a drawer" in diff
    settings.OUTBOUND_ALLOWED = []
    assert "are not allowed" in check()["vault"]["problem"]


@pytest.mark.django_db(transaction=True)
def test_the_worker_checks_servers_that_are_due(cast: Cast, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = []
    with tenant_scope(cast.alice.principal.tenant):
        fields = {"workspace_id": cast.alice.principal.workspace.id, "enabled": True}
        MCPServer.objects.create(slug="far", url="http://10.0.0.1/mcp", **fields)
        MCPServer.objects.create(slug="near", url="http://10.0.0.1/mcp", checked_at=timezone.now(), **fields)
    look_at_mcp_servers.defer(timestamp=0)
    run_worker()
    with tenant_scope(cast.alice.principal.tenant):
        problems = dict(MCPServer.objects.values_list("slug", "problem"))
    assert (bool(problems["far"]), problems["near"]) == (True, "")


def test_a_removed_servers_sign_ins_are_not_the_next_ones(
    vault: ProtectedMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, vault)
    sign_in(cast.alice, alice)
    back = granted(begin(alice))
    assert alice.delete(WHERE).status_code == 204
    again = install(alice, vault)
    assert (again.status_code, again.json()["tools"]) == (201, [])
    come_back(cast.alice, alice, back)
    assert stored_sign_ins(cast) == []
    assert send(alice, "open", **WITH_VAULT).json()["error"]["code"] == "mcp_not_enabled"
