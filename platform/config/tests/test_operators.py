"""The admin: every page opens, operators open one tenant at a time, others see nothing."""

from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import Client

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from accounts.tests.operators import PASSWORD, address, desk, operator
from gateway.models import Conversation
from gateway.tests.stored import store_turn
from kit.tenancy import tenant_scope
from quotas.tests.ledger import limit_to, store_usage

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
TENANT_TABLES = ("gateway/conversation/", "gateway/turn/", "workspaces/languagemodel/")


@pytest.fixture
def furnished(cast: Cast) -> Cast:
    """Rows for every list."""
    store_turn(cast.bob)
    store_usage(cast.bob)
    limit_to(cast.bob, 10**6)
    AuditEntry.objects.create(action="user.signed_in")
    return cast


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_page_of_the_admin_opens(furnished: Cast, model: Any) -> None:
    client = desk(tenant="acme")
    listed = client.get(address(model, "changelist"))
    assert listed.status_code == 200
    assert client.get(address(model, "changelist"), {"q": "alice"}).status_code == 200
    assert client.get(address(model, "add")).status_code in (200, 403)
    with tenant_scope(furnished.alice.principal.tenant):
        row = next(iter(listed.context["cl"].result_list), None)
    if row is not None:
        for page in ("change", "history", "delete"):
            assert client.get(address(model, page, row.pk)).status_code in (200, 403), page
        assert client.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("path", TENANT_TABLES)
def test_without_an_open_tenant_lists_of_tenant_data_are_empty(furnished: Cast, path: str) -> None:
    client = desk()
    assert client.get(f"/admin/{path}").status_code == 403
    assert "Conversation" not in client.get("/admin/").content.decode()


def test_a_tenant_stays_open_until_it_is_closed(furnished: Cast) -> None:
    client = desk(tenant="acme")
    page = client.get("/admin/gateway/conversation/").content.decode()
    assert "bob@example.com" in page
    assert "Inside <strong>acme</strong>" in page
    client.get("/admin/", {"_tenant": ""})
    assert client.get("/admin/gateway/conversation/").status_code == 403


def test_opening_a_tenant_keeps_the_rest_of_the_url_and_is_audited(cast: Cast) -> None:
    client = desk()
    answer = client.get("/admin/gateway/turn/?_tenant=acme&status__exact=done")
    assert answer.headers["Location"] == "/admin/gateway/turn/?status__exact=done"
    entry = AuditEntry.objects.get(action="tenant.opened")
    assert (entry.target, entry.actor.email) == ("acme", "op@example.com")


@pytest.mark.parametrize("slug", ["nobody", "public", "acme\0", "t_%", "' OR 1=1"])
def test_an_unknown_tenant_gives_a_message(furnished: Cast, slug: str) -> None:
    client = desk(tenant="acme")
    answer = client.get("/admin/gateway/conversation/", {"_tenant": slug}, follow=True)
    assert answer.status_code == 200
    assert "No tenant has this name." in answer.content.decode()
    assert client.get("/admin/gateway/conversation/").status_code == 403


def test_one_tenants_rows_are_not_in_another_tenants_list(furnished: Cast) -> None:
    with tenant_scope(furnished.bob.principal.tenant):
        conversation = Conversation.objects.get()
    client = desk(tenant="globex")
    assert str(conversation.id) not in client.get("/admin/gateway/conversation/").content.decode()
    assert client.get(address(Conversation, "change", conversation.id)).status_code == 302


@pytest.mark.parametrize("path", ["", "accounts/user/", "accounts/tenant/", *TENANT_TABLES])
def test_only_operators_see_the_admin(furnished: Cast, path: str) -> None:
    """Not even an owner of the tenant; `_tenant` has no effect for them."""
    for query in ("", "?_tenant=acme"):
        member = desk(furnished.alice.user).get(f"/admin/{path}{query}", follow=True)
        assert member.status_code == 403
        stranger = Client().get(f"/admin/{path}{query}", follow=True)
        assert stranger.redirect_chain[-1][0].startswith("/accounts/login/?next=")


def test_an_operator_without_permissions_sees_an_empty_index(furnished: Cast) -> None:
    person = furnished.dana.user
    person.is_staff = True
    person.save()
    client = desk(person, tenant="acme")
    assert client.get("/admin/").status_code == 200
    assert all(client.get(address(model, "changelist")).status_code == 403 for model in MODELS)


def test_createsuperuser_creates_an_operator_who_uses_the_normal_sign_in(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "Root@example.com")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, verbosity=0)
    client = Client()
    login = client.get("/admin/", follow=True).redirect_chain[-1][0]
    answer = client.post(login, {"login": "root@example.com", "password": PASSWORD})
    assert answer.headers["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_sign_in_attempts_as_an_operator_are_limited(cast: Cast) -> None:
    operator()
    client, wrong = Client(), {"login": "op@example.com", "password": "wrong"}
    pages = [client.post("/accounts/login/?next=/admin/", wrong).content.decode() for _ in range(7)]
    right = client.post("/accounts/login/?next=/admin/", {**wrong, "password": PASSWORD})
    assert "Too many failed login attempts" in pages[-1]
    assert right.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts/auditentry/?action=%00",
        "/admin/quotas/reservation/?state__exact=%00",
        "/admin/gateway/turn/?status__exact=%00",
        "/admin/accounts/user/?q=%00",
    ],
)
def test_nul_in_a_filter_is_a_bad_request(cast: Cast, path: str) -> None:
    assert desk().get(path).status_code == 400
