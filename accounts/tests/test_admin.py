"""Operators manage users, tenants and workspaces; each change is audited."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from accounts.models import AuditEntry, Membership, Tenant, User, Workspace, WorkspaceMember
from accounts.principals import open_memberships
from accounts.tests.cast import PASSWORD, Cast, Person
from accounts.tests.operators import address, desk, fields_of, operator, queries_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return desk()


def acme() -> Tenant:
    return Tenant.objects.get(slug="acme")


def save(client: Client, row: Any, **changes: Any) -> None:
    """Sends a change page as a browser would, with some fields changed."""
    page = address(type(row), "change", row.pk)
    answer = client.post(page, {**fields_of(client.get(page)), **changes})
    assert answer.status_code == 302, answer.context["errors"]


def act(client: Client, action: str, *rows: Any) -> None:
    page = address(type(rows[0]), "changelist")
    client.post(page, {"action": action, "_selected_action": [str(row.pk) for row in rows]})


def entry(action: str) -> AuditEntry:
    return AuditEntry.objects.get(action=action)


def may_enter(person: Person) -> bool:
    return open_memberships(person.principal.user_id).exists()


def test_a_user_is_created_with_a_password_and_can_sign_in(client: Client) -> None:
    form = {"email": "Eve@Example.com", "name": "Eve", "usable_password": "true"}
    secret = "a long enough phrase"
    client.post(address(User, "add"), {**form, "password1": secret, "password2": secret})
    assert authenticate(None, email="eve@example.com", password=secret) == User.objects.get(name="Eve")
    assert entry("user.added").target == "eve@example.com"
    assert secret not in str(entry("user.added").details)


def test_addresses_are_unique_in_any_case(client: Client, cast: Cast) -> None:
    form = {"email": "ALICE@example.com", "usable_password": "true"}
    answer = client.post(
        address(User, "add"), {**form, "password1": "long enough 1", "password2": "long enough 1"}
    )
    assert answer.status_code == 200
    assert User.objects.filter(email__iexact="alice@example.com").count() == 1


def test_no_password_is_shown(client: Client, cast: Cast) -> None:
    user = cast.bob.user
    page = client.get(address(User, "change", user.pk)).content.decode()
    assert user.password not in page
    assert user.password.rsplit("$", 1)[-1] not in page
    assert PASSWORD not in page


def test_an_operators_new_password_is_audited_without_its_value(client: Client, cast: Cast) -> None:
    secret = "quite another long phrase"
    User.objects.filter(id=cast.bob.principal.user_id).update(is_staff=True)
    page = f"/admin/accounts/user/{cast.bob.principal.user_id}/password/"
    client.post(page, {"usable_password": "true", "password1": secret, "password2": secret})
    assert cast.bob.user.check_password(secret)
    assert entry("user.changed").changes == {"password": ["***", "***"]}
    assert secret not in str(list(AuditEntry.objects.values()))


def test_operators_cannot_set_a_members_password(client: Client, cast: Cast) -> None:
    secret = "quite another long phrase"
    page = f"/admin/accounts/user/{cast.bob.principal.user_id}/password/"
    fields = {"usable_password": "true", "password1": secret, "password2": secret}
    assert client.post(page, fields).status_code == 403
    assert cast.bob.user.check_password(PASSWORD)
    assert "password/" not in client.get(address(User, "change", cast.bob.user.pk)).content.decode()


def test_deactivating_a_user_ends_all_access_and_is_audited(client: Client, cast: Cast) -> None:
    save(client, cast.bob.user, is_active="")
    found = entry("user.changed")
    assert not may_enter(cast.bob)
    assert (found.target, found.actor.email) == ("bob@example.com", "op@example.com")
    assert found.changes == {"is_active": [True, False]}


def test_users_are_found_by_address_and_name(client: Client, cast: Cast) -> None:
    for query in ("bob@", "Bob"):
        page = client.get(address(User, "changelist"), {"q": query}).content.decode()
        assert "bob@example.com" in page
        assert "dana@example.com" not in page


def test_only_superusers_give_rights_and_set_operators_passwords(cast: Cast) -> None:
    chief, clerk = operator(), cast.dana.user
    clerk.is_staff = True
    clerk.save()
    clerk.user_permissions.set(permissions("view_user", "change_user"))
    client = desk(clerk)
    save(client, cast.bob.user, is_staff="on", is_superuser="on", name="Robert")
    assert (cast.bob.user.name, cast.bob.user.is_staff, cast.bob.user.is_superuser) == (
        "Robert",
        False,
        False,
    )
    for other in (chief, clerk):
        assert client.post(f"/admin/accounts/user/{other.pk}/password/", {}).status_code == 403


def permissions(*names: str) -> Any:
    return Permission.objects.filter(codename__in=names)


def test_a_suspended_tenant_cannot_be_entered_until_unsuspended(client: Client, cast: Cast) -> None:
    act(client, "suspend", acme())
    assert not may_enter(cast.bob)
    assert may_enter(cast.charlie)
    assert (entry("tenant.suspended").tenant, entry("tenant.suspended").target) == (acme(), "acme")
    act(client, "unsuspend", acme())
    assert may_enter(cast.bob)
    assert entry("tenant.unsuspended").actor.email == "op@example.com"


def test_suspending_twice_is_audited_once(client: Client, cast: Cast) -> None:
    act(client, "suspend", acme())
    act(client, "suspend", acme())
    assert entry("tenant.suspended")


def test_a_tenant_is_renamed_while_another_is_opened(cast: Cast) -> None:
    client = desk(tenant="globex")
    save(client, acme(), name="Acme Inc", slug="stolen")
    assert (acme().name, acme().slug) == ("Acme Inc", "acme")
    assert entry("tenant.changed").changes == {"name": ["Acme", "Acme Inc"]}


@pytest.mark.parametrize("model", [Tenant, Workspace, User])
def test_users_tenants_and_workspaces_cannot_be_deleted(client: Client, cast: Cast, model: Any) -> None:
    row = model.objects.first()
    assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    act(client, "delete_selected", row)
    assert model.objects.filter(pk=row.pk).exists()


def test_a_workspace_archived_in_the_admin_cannot_be_entered_until_restored(
    client: Client, cast: Cast
) -> None:
    sales = Workspace.objects.get(tenant__slug="acme", slug="sales")
    act(client, "archive", sales)
    assert not may_enter(cast.bob)
    assert may_enter(cast.dana)
    assert entry("workspace.archived").workspace == sales
    act(client, "restore", sales)
    assert may_enter(cast.bob)
    assert entry("workspace.restored").target == "sales"


def test_workspaces_are_filtered_by_tenant(client: Client, cast: Cast) -> None:
    page = client.get(address(Workspace, "changelist"), {"tenant": str(acme().pk)})
    assert {row.slug for row in page.context["cl"].result_list} == {"sales", "ops"}
    wrong = client.get(address(Workspace, "changelist"), {"tenant": "nonsense"})
    assert wrong.status_code == 200
    assert not wrong.context["cl"].result_list


def test_a_role_changed_on_a_tenants_page_is_audited_with_both_roles(client: Client, cast: Cast) -> None:
    page = client.get(address(Tenant, "change", acme().pk))
    rows = page.context["inline_admin_formsets"][0].formset.forms
    row = next(form for form in rows if form.instance.user_id == cast.bob.principal.user_id)
    save(client, acme(), **{f"{row.prefix}-role": "admin"})
    found = entry("membership.changed")
    assert (found.target, found.tenant) == ("bob@example.com", acme())
    assert found.changes == {"role": ["member", "admin"]}


def test_a_member_removed_from_a_tenant_leaves_its_workspaces(client: Client, cast: Cast) -> None:
    page = client.get(address(Tenant, "change", acme().pk))
    rows = page.context["inline_admin_formsets"][0].formset.forms
    row = next(form for form in rows if form.instance.user_id == cast.bob.principal.user_id)
    save(client, acme(), **{f"{row.prefix}-DELETE": "on"})
    assert not WorkspaceMember.objects.filter(user=cast.bob.user).exists()
    assert (entry("membership.deleted").target, entry("membership.deleted").tenant) == (
        "bob@example.com",
        acme(),
    )


def test_removing_members_in_their_list_does_the_same(client: Client, cast: Cast) -> None:
    membership = Membership.objects.get(user=cast.bob.user)
    page = address(Membership, "changelist")
    chosen = {"action": "delete_selected", "_selected_action": [str(membership.pk)], "post": "yes"}
    client.post(page, chosen)
    assert not WorkspaceMember.objects.filter(user=cast.bob.user).exists()
    assert entry("membership.deleted").target == "bob@example.com"


def test_only_members_of_the_tenant_are_added_to_a_workspace(client: Client, cast: Cast) -> None:
    ops = Workspace.objects.get(tenant__slug="acme", slug="ops")
    save(client, ops, **{"members-2-0-user": str(cast.bob.principal.user_id), "members-2-0-role": "viewer"})
    assert entry("workspace_member.added").changes["role"] == ["editor", "viewer"]
    page = address(Workspace, "change", ops.pk)
    stranger = {"members-2-0-user": str(cast.charlie.principal.user_id), "members-2-0-role": "viewer"}
    answer = client.post(page, {**fields_of(client.get(page)), **stranger})
    assert "Only members of the tenant can be added to its workspaces." in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_cannot_be_audited_is_not_made(cast: Cast) -> None:
    client = desk()
    client.raise_request_exception = False
    with no_audit():
        act(client, "suspend", acme())
    assert acme().suspended_at is None


@contextmanager
def no_audit() -> Iterator[None]:
    """The audit's table refuses further rows."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditentry ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    yield
    with connection.cursor() as cursor:  # another connection: the request gave the first one back
        cursor.execute("ALTER TABLE accounts_auditentry DROP CONSTRAINT full_up")


def test_the_audit_cannot_be_changed(client: Client, cast: Cast) -> None:
    row = AuditEntry.objects.create(action="user.signed_in", target="bob@example.com")
    assert client.post(address(AuditEntry, "change", row.pk), {"target": "x"}).status_code == 403
    assert client.post(address(AuditEntry, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(address(AuditEntry, "add")).status_code == 403


def test_the_audit_is_filtered_by_action_and_searched(client: Client, cast: Cast) -> None:
    AuditEntry.objects.create(action="user.signed_in", target="one")
    AuditEntry.objects.create(action="user.signed_out", target="two")
    for query in ({"action": "user.signed_in"}, {"q": "one"}):
        page = client.get(address(AuditEntry, "changelist"), query)
        assert [row.target for row in page.context["cl"].result_list] == ["one"]


def test_the_list_of_entries_does_not_count_the_whole_table(client: Client, cast: Cast) -> None:
    counts = [sql for sql in queries_of(client, address(AuditEntry, "changelist")) if "COUNT(" in sql]
    assert counts
    assert all("LIMIT 10000" in sql for sql in counts)


@pytest.mark.parametrize("model", [User, Tenant, Workspace, Membership, WorkspaceMember, AuditEntry])
def test_longer_lists_take_no_more_queries(client: Client, cast: Cast, model: Any) -> None:
    crowd(1)
    before = len(queries_of(client, address(model, "changelist")))
    crowd(8, "more")
    assert len(queries_of(client, address(model, "changelist"))) == before


@pytest.mark.parametrize("model", [Tenant, Workspace])
def test_a_page_with_more_members_needs_no_more_queries(client: Client, cast: Cast, model: Any) -> None:
    crowd(1)
    page = address(model, "change", model.objects.get(slug="crowded").pk)
    before = len(queries_of(client, page))
    crowd(8, "more")
    assert len(queries_of(client, page)) == before


def crowd(number: int, name: str = "some") -> None:
    """Adds `number` members of a tenant and its workspace, each with another tenant and an audit entry."""
    tenant, _ = Tenant.objects.get_or_create(slug="crowded", schema_name="t_crowded")
    workspace, _ = Workspace.objects.get_or_create(tenant=tenant, slug="crowded")
    for index in range(number):
        user = User.objects.create(email=f"{name}{index}@crowd.example.com")
        other = Tenant.objects.create(slug=f"{name}-{index}", schema_name=f"t_{name}{index}")
        Membership.objects.create(tenant=tenant, user=user)
        WorkspaceMember.objects.create(workspace=workspace, user=user)
        Workspace.objects.create(tenant=other, slug="one")
        AuditEntry.objects.create(action="user.signed_in", actor=user, tenant=other)


def test_the_last_owner_cannot_be_removed_in_the_admin(client: Client, cast: Cast) -> None:
    owner = Membership.objects.get(id=cast.alice.principal.membership_id)
    page = address(Membership, "change", owner.pk)
    answer = client.post(page, {**fields_of(client.get(page)), "role": "member"})
    assert "Every team needs an owner" in answer.content.decode()
    assert client.post(address(Membership, "delete", owner.pk), {"post": "yes"}).status_code == 403
    act_on = {"action": "delete_selected", "_selected_action": [str(owner.pk)], "post": "yes"}
    client.post(address(Membership, "changelist"), act_on)
    owner.refresh_from_db()
    assert owner.role == "owner"
