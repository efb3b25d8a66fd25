"""The pages of the team, its settings and the own account: access by role, buttons and forms."""

import re
from io import BytesIO
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image

from accounts.models import (
    ApiKey,
    AuditEntry,
    Invitation,
    Membership,
    Picture,
    Tenant,
    User,
    Workspace,
    WorkspaceLink,
    WorkspaceMember,
)
from accounts.tests.cast import PASSWORD, Cast, Person

pytestmark = pytest.mark.django_db
WORKSPACE_URL = "/t/acme/w/sales"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
# Each page, and the lowest team role (with editor in the workspace) that has access.
PAGES = {
    "members": "member",
    "members/invitations": "admin",
    "members/service-accounts": "admin",
    "settings": "guest",
    "settings/workspaces": "guest",
    "settings/workspaces/sales": "guest",
    "settings/keys": "guest",
    "settings/audit": "admin",
}
ROLES = ["guest", "member", "admin", "owner"]
OWN = ["profile", "email", "password/change", "2fa", "3rdparty", "sessions", "keys", "teams"]


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, BACKEND)
    return client


@pytest.fixture
def alice(cast: Cast) -> Client:
    return browser(cast.alice)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_the_roles_in_the_policy(cast: Cast, page: str, role: str) -> None:
    Membership.objects.filter(user=cast.bob.user).update(role=role)
    answer = browser(cast.bob).get(f"{WORKSPACE_URL}/{page}")
    enough = ROLES.index(role) >= ROLES.index(PAGES[page])
    assert answer.status_code == (200 if enough else 403)
    if not enough:
        assert "Ask an owner or admin for access" in answer.content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_gets_404_and_signed_out_people_sign_in_first(cast: Cast, page: str) -> None:
    assert browser(cast.charlie).get(f"{WORKSPACE_URL}/{page}").status_code == 404
    assert Client().get(f"{WORKSPACE_URL}/{page}").url.startswith("/accounts/login/")


def test_the_current_page_of_the_rail_does_not_depend_on_the_teams_name(alice: Client, cast: Cast) -> None:
    Tenant.objects.filter(slug="acme").update(slug="usage-labs")
    page = alice.get("/t/usage-labs/w/sales/members").content.decode()
    marked = re.findall(r'title="([^"]*)" aria-current="page"', page)
    assert marked == ["Members"]


@pytest.mark.parametrize("page", OWN)
def test_the_pages_of_the_own_account_open(alice: Client, page: str) -> None:
    answer = alice.get(f"/accounts/{page}/")
    assert answer.status_code == 200
    assert 'aria-current="page"' in answer.content.decode()
    assert Client().get(f"/accounts/{page}/").status_code == 302


@pytest.mark.parametrize("page", PAGES)
def test_statements_do_not_grow_with_the_rows(cast: Cast, alice: Client, page: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert alice.get(f"{WORKSPACE_URL}/{page}").status_code == 200
        return len(queries.captured_queries)

    fill(cast, "few", 2)
    count()
    before = count()
    fill(cast, "many", 12)
    assert count() == before


def fill(cast: Cast, tag: str, number: int) -> None:
    """Adds `number` members, invitations, workspaces, keys, service accounts and audit entries."""
    sales = Workspace.objects.get(id=cast.alice.principal.workspace.id)
    for n in range(number):
        user = User.objects.create_user(f"{tag}{n}@example.com", None, name=f"{tag} {n}", picture_version="x")
        Membership.objects.create(tenant=sales.tenant, user=user)
        sales.members.create(user=user)
        robot = User.objects.create_user(f"{tag}{n}@service.invalid", None, service_of=sales.tenant)
        Membership.objects.create(tenant=sales.tenant, user=robot)
        Workspace.objects.create(tenant=sales.tenant, slug=f"{tag}-{n}", name=f"{tag} {n}")
        expiry = sales.created_at
        invitation = Invitation.objects.create(
            tenant=sales.tenant,
            email=f"i{tag}{n}@example.com",
            secret_hash=f"{tag}{n}",
            sent_at=expiry,
            expires_at=expiry,
            invited_by=user,
        )
        invitation.workspaces.create(workspace=sales)
        ApiKey.objects.create(
            tenant=sales.tenant,
            workspace=sales,
            owner=user,
            membership_id=user.id,
            name=tag,
            prefix=f"{tag}{n}",
            secret_hash="x",
            scopes=["chat"],
        )
        AuditEntry.objects.create(action="x", tenant=sales.tenant, workspace=sales, actor=user)


def test_valid_addresses_of_a_list_are_invited_and_others_reported(alice: Client) -> None:
    form = {
        "emails": "Erin@example.com; <fred@example.com>,\n wrong@ nonsense bob@example.com",
        "role": "member",
        "workspaces": ["sales"],
        "place_role": "viewer",
    }
    page = alice.post(f"{WORKSPACE_URL}/members/invitations", form).content.decode()
    assert "2 invitations sent, 2 failed" in page
    assert {row.email for row in Invitation.objects.all()} == {"erin@example.com", "fred@example.com"}
    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"emails": ""},
        {"emails": "nobody"},
        {"role": "owner"},
        {"workspaces": ["nowhere"]},
        {"place_role": "x"},
    ],
)
def test_an_invalid_invitation_is_refused_with_its_input(alice: Client, change: dict[str, Any]) -> None:
    form = {"emails": "erin@example.com", "role": "member", "workspaces": ["sales"], "place_role": "viewer"}
    page = alice.post(f"{WORKSPACE_URL}/members/invitations", {**form, **change})
    assert page.status_code == 200
    assert not Invitation.objects.exists()
    if "emails" not in change:
        assert "erin@example.com" in page.content.decode()


def test_a_key_is_shown_once(alice: Client) -> None:
    form = {"name": "nightly", "scopes": ["chat", "read"], "reach": "tenant", "owner": "", "days": "30"}
    page = alice.post(f"{WORKSPACE_URL}/settings/keys", form)
    found = re.search(r'data-testid="new-key">(sy_[^<]+)<', page.content.decode())
    assert found
    assert page.headers["Cache-Control"] == "no-store"
    assert Client().get("/v1/tenant", headers={"Authorization": f"Bearer {found[1]}"}).status_code == 200
    assert found[1] not in alice.get(f"{WORKSPACE_URL}/settings/keys").content.decode()
    assert alice.post(f"{WORKSPACE_URL}/settings/keys/{ApiKey.objects.get().id}/revoke").status_code == 302
    assert Client().get("/v1/tenant", headers={"Authorization": f"Bearer {found[1]}"}).status_code == 401


def test_a_workspace_is_created_renamed_archived_restored_and_deleted(alice: Client) -> None:
    made = alice.post(f"{WORKSPACE_URL}/settings/workspaces", {"name": "Field trips"})
    where = f"{WORKSPACE_URL}/settings/workspaces/field-trips"
    assert made.url == where
    alice.post(where, {"name": "Journeys"})
    assert "Journeys" in alice.get(where).content.decode()
    alice.post(f"{where}/archive")
    assert "Archived" in alice.get(where).content.decode()
    alice.post(f"{where}/restore")
    alice.post(f"{where}/delete", {"typed": "wrong"})
    assert Workspace.objects.get(slug="field-trips").delete_after is None
    alice.post(f"{where}/delete", {"typed": "field-trips"})
    assert Workspace.objects.get(slug="field-trips").delete_after is not None


def test_an_invite_link_is_shown_once_and_works(alice: Client, cast: Cast) -> None:
    form = {"role": "viewer", "most_uses": "1", "days": "1"}
    page = alice.post(f"{WORKSPACE_URL}/settings/workspaces/sales/link", form)
    found = re.search(r'data-testid="link">https?://[^/]+(/join/[^<]+)<', page.content.decode())
    assert found
    erin = Client()
    assert erin.get(found[1]).url == "/join/"
    assert "Create an account" in erin.get("/join/").content.decode()
    sign_up = erin.get("/accounts/signup/?next=/join/").content.decode()
    assert "tenant_name" not in sign_up
    form = {"name": "Erin", "email": "erin@example.com", "password1": PASSWORD, "next": "/join/"}
    assert erin.post("/accounts/signup/", form).url == "/join/"
    assert "Confirm your email address" in erin.get("/join/").content.decode()
    assert erin.post("/join/").url == "/join/"
    link = re.search(r"https?://[^/]+(/\S*confirm-email\S*)", str(mail.outbox[-1].body))
    assert link
    erin.post(link[1])
    assert erin.post("/join/").url == f"{WORKSPACE_URL}/chat/"
    assert WorkspaceLink.objects.get().uses == 1
    assert "no longer works" in browser(cast.charlie).get(found[1], follow=True).content.decode()
    alice.post(f"{WORKSPACE_URL}/settings/workspaces/sales/link/close")
    assert WorkspaceLink.objects.get().revoked_at is not None


def test_an_invitation_for_another_address_says_so(alice: Client, cast: Cast) -> None:
    form = {"emails": "erin@example.com", "role": "member", "workspaces": ["sales"], "place_role": "viewer"}
    alice.post(f"{WORKSPACE_URL}/members/invitations", form)
    found = re.search(r"https?://[^/]+(/invitations/\S+)", str(mail.outbox[-1].body))
    assert found
    charlie = browser(cast.charlie)
    page = charlie.get(found[1], follow=True)
    assert page.request["PATH_INFO"] == "/invitations/"
    assert "This invitation is for" in page.content.decode()
    assert charlie.post("/invitations/").status_code == 200
    assert not Membership.objects.filter(user=cast.charlie.user, tenant__slug="acme").exists()
    charlie.post("/leave/")
    assert "Create account and join" in charlie.get("/invitations/").content.decode()


def test_an_existing_account_signs_in_and_accepts(alice: Client, cast: Cast) -> None:
    form = {"emails": "charlie@example.com", "role": "guest", "workspaces": ["sales"], "place_role": "editor"}
    alice.post(f"{WORKSPACE_URL}/members/invitations", form)
    found = re.search(r"https?://[^/]+(/invitations/\S+)", str(mail.outbox[-1].body))
    assert found
    charlie = Client()
    assert "Sign in to accept" in charlie.get(found[1], follow=True).content.decode()
    sent = {"login": "charlie@example.com", "password": PASSWORD, "next": "/invitations/"}
    assert charlie.post("/accounts/login/", sent).url == "/invitations/"
    assert charlie.post("/invitations/").url == f"{WORKSPACE_URL}/chat/"
    assert charlie.get(f"{WORKSPACE_URL}/chat/").status_code == 200
    again = charlie.get(found[1], follow=True)
    assert (again.status_code, "no longer works" in again.content.decode()) == (404, True)


def test_a_role_given_on_the_page_applies(alice: Client, cast: Cast) -> None:
    bob = browser(cast.bob)
    where = f"{WORKSPACE_URL}/members/{cast.bob.principal.user_id}"
    alice.post(f"{where}/role", {"role": "admin"})
    assert bob.get(f"{WORKSPACE_URL}/settings/audit").status_code == 200
    alice.post(f"{where}/role", {"role": "owner"})
    assert Membership.objects.get(user=cast.bob.user).role != "owner"
    alice.post(f"{where}/remove")
    assert bob.get(f"{WORKSPACE_URL}/chat/").status_code == 404


def test_ownership_passes_on_the_pages(alice: Client, cast: Cast) -> None:
    alice.post(f"{WORKSPACE_URL}/members/{cast.bob.principal.user_id}/offer")
    bob = browser(cast.bob)
    assert "offers you ownership" in bob.get(f"{WORKSPACE_URL}/members").content.decode()
    bob.post(f"{WORKSPACE_URL}/members/offer/accept")
    assert Membership.objects.get(user=cast.bob.user).role == "owner"


def test_no_page_changes_anything_without_the_right(cast: Cast) -> None:
    bob = browser(cast.bob)
    them = cast.alice.principal.user_id
    for path in (f"members/{them}/role", f"members/{them}/remove", "settings/workspaces/sales/archive"):
        bob.post(f"{WORKSPACE_URL}/{path}", {"role": "guest"})
    bob.post(f"{WORKSPACE_URL}/settings", {"name": "Mine", "departed_conversations": "delete"})
    bob.post(f"{WORKSPACE_URL}/settings/workspaces", {"name": "Mine"})
    bob.post(f"{WORKSPACE_URL}/settings/workspaces/sales/members", {"user": str(them), "role": "viewer"})
    assert bob.get(f"{WORKSPACE_URL}/settings/workspaces/ops").status_code == 404
    assert Membership.objects.get(user=them, tenant__slug="acme").role == "owner"
    assert set(Workspace.objects.filter(tenant__slug="acme").values_list("slug", flat=True)) == {
        "sales",
        "ops",
    }
    assert WorkspaceMember.objects.get(user=them, workspace__slug="sales").role == "manager"


@pytest.mark.django_db(transaction=True)  # pictures are read outside any transaction
def test_the_profile_stores_name_language_and_picture(alice: Client, cast: Cast) -> None:
    shown = BytesIO()
    Image.new("RGB", (900, 300), "teal").save(shown, "PNG")
    shown.seek(0)
    shown.name = "me.png"
    form = {"name": "Alice <i>A</i>", "reply_language": "de", "picture": shown}
    assert alice.post("/accounts/profile/", form).status_code == 302
    user = cast.alice.user
    assert (user.name, user.reply_language) == ("Alice <i>A</i>", "de")
    page = alice.get("/accounts/profile/").content.decode()
    assert "<i>A</i>" not in page
    where = f"/pictures/{user.id}/{user.picture_version}.webp"
    assert where in page
    answer = browser(cast.bob).get(where)
    assert Image.open(BytesIO(answer.content)).size == (192, 192)
    assert browser(cast.charlie).get(where).status_code == 404
    alice.post("/accounts/profile/picture/remove")
    assert not Picture.objects.exists()
    alice.post("/accounts/profile/", {"name": "Alice", "reply_language": ""})
    assert cast.alice.user.reply_language == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 10_000),
        ("name", "a\0b"),
        ("reply_language", "klingon"),
        ("picture", b"no picture"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_an_invalid_profile_is_reported_at_its_field(
    alice: Client, cast: Cast, field: str, value: Any
) -> None:
    if field == "picture":
        value = BytesIO(value)
        value.name = "me.png"
    page = alice.post("/accounts/profile/", {"name": "Alice", "reply_language": "", field: value})
    assert page.status_code == 200
    assert page.context["form"].errors[field]
    assert (cast.alice.user.name, cast.alice.user.reply_language) == ("Alice", "")


def test_a_team_is_left_from_the_own_teams_page(cast: Cast, alice: Client) -> None:
    bob = browser(cast.bob)
    mine = Membership.objects.get(user=cast.bob.user)
    assert alice.post(f"/accounts/teams/{mine.id}/leave").status_code == 404
    bob.post(f"/accounts/teams/{mine.id}/leave")
    assert not Membership.objects.filter(id=mine.id).exists()
    alone = Membership.objects.get(user=cast.alice.user)
    page = alice.post(f"/accounts/teams/{alone.id}/leave", follow=True).content.decode()
    assert "Every team needs an owner" in page
    assert Membership.objects.filter(id=alone.id).exists()


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=1e999~x", "?find=%00", "?after=-1~00000000-0000-0000-0000-000000000000"]
)
@pytest.mark.parametrize("page", ["members", "members/invitations", "settings/audit", "settings/keys"])
def test_invalid_query_parameters_cause_no_error(alice: Client, page: str, query: str) -> None:
    assert alice.get(f"{WORKSPACE_URL}/{page}{query}").status_code == 200


def test_the_next_page_continues_after_the_first(alice: Client, cast: Cast) -> None:
    tenant = Workspace.objects.get(id=cast.alice.principal.workspace.id).tenant
    for n in range(60):
        AuditEntry.objects.create(action=f"many.n{n:02}", tenant=tenant)
    seen: list[str] = []
    where = f"{WORKSPACE_URL}/settings/audit?action=many.*"
    while where:
        page = alice.get(where)
        seen += [row.action for row in page.context["entries"].rows]
        onward = page.context["entries"].next_url
        where = f"{WORKSPACE_URL}/settings/audit{onward}" if onward else ""
    assert seen == [f"many.n{n:02}" for n in reversed(range(60))]


@pytest.mark.parametrize(
    "token", ["%00x.y", "x.%00", "%ED%A0%80.x", "x" * 5000, "..", "a.b.c", "%F0%9F%98%80.x"]
)
@pytest.mark.parametrize("kind", ["invitations", "join"])
def test_an_invalid_link_is_refused(client: Client, kind: str, token: str) -> None:
    answer = client.get(f"/{kind}/{token}", follow=True)
    assert answer.status_code == 404
    assert client.post(f"/{kind}/").status_code in {404, 302}
    assert client.get("/accounts/signup/").status_code == 200
