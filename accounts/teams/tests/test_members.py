"""Members: roles, the last owner, transfer of ownership, and the end of a membership."""

import threading
from typing import Any

import pytest
from django.db import connection

from accounts.models import ApiKey, AuditEntry, Departure, Membership, Tenant, User, WorkspaceMember
from accounts.tests.cast import Cast, Person
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db


def role_of(person: Person, tenant: str = "acme") -> str | None:
    rows = Membership.objects.filter(user=person.principal.user_id, tenant__slug=tenant)
    return rows.values_list("role", flat=True).first()


def set_role(person: Person, role: str) -> None:
    Membership.objects.filter(id=person.principal.membership_id).update(role=role)


def member(person: Person) -> str:
    return f"tenant/members/{person.principal.user_id}"


def test_a_new_role_applies_from_the_next_request(cast: Cast) -> None:
    bob = As(cast.bob)
    assert bob.ask("GET", "tenant/invitations").status_code == 403
    assert As(cast.alice).ask("PATCH", member(cast.bob), {"role": "admin"}).json()["role"] == "admin"
    assert bob.ask("GET", "tenant/invitations").status_code == 200
    (entry,) = AuditEntry.objects.filter(action="member.role_changed")
    assert (entry.target, entry.changes) == ("bob@example.com", {"role": ["member", "admin"]})


def test_the_last_owner_can_neither_leave_nor_be_demoted(cast: Cast) -> None:
    alice = As(cast.alice)
    assert code_of(alice.ask("DELETE", member(cast.alice))) == "last_owner"
    assert code_of(alice.ask("PATCH", member(cast.alice), {"role": "admin"})) == "last_owner"
    assert role_of(cast.alice) == "owner"


def test_an_admin_cannot_change_an_owner(cast: Cast) -> None:
    set_role(cast.bob, "admin")
    set_role(cast.dana, "owner")
    bob = As(cast.bob)
    assert bob.ask("DELETE", member(cast.alice)).status_code == 403
    assert bob.ask("PATCH", member(cast.alice), {"role": "member"}).status_code == 403


def test_no_one_becomes_owner_by_a_role_change(cast: Cast) -> None:
    assert As(cast.alice).ask("PATCH", member(cast.bob), {"role": "owner"}).status_code == 422


def test_ownership_passes_on_acceptance(cast: Cast) -> None:
    alice, bob, dana = As(cast.alice), As(cast.bob), As(cast.dana)
    offer = {"user_id": str(cast.bob.principal.user_id)}
    assert alice.ask("POST", "tenant/ownership", offer).status_code == 201
    assert role_of(cast.bob) == "member"
    assert dana.ask("GET", "tenant/ownership").status_code == 404
    assert dana.ask("POST", "tenant/ownership/accept").status_code == 404
    assert bob.ask("GET", "tenant/ownership").json()["offered_by"]["email"] == "alice@example.com"
    assert bob.ask("POST", "tenant/ownership/accept").status_code == 204
    assert (role_of(cast.alice), role_of(cast.bob)) == ("admin", "owner")
    assert bob.ask("POST", "tenant/ownership/accept").status_code == 404
    assert alice.ask("DELETE", member(cast.alice)).status_code == 204


def test_a_withdrawn_offer_cannot_be_accepted(cast: Cast) -> None:
    alice, bob = As(cast.alice), As(cast.bob)
    alice.ask("POST", "tenant/ownership", {"user_id": str(cast.bob.principal.user_id)})
    assert alice.ask("DELETE", "tenant/ownership").status_code == 204
    assert bob.ask("POST", "tenant/ownership/accept").status_code == 404


def test_an_offer_of_a_former_owner_is_void(cast: Cast) -> None:
    As(cast.alice).ask("POST", "tenant/ownership", {"user_id": str(cast.bob.principal.user_id)})
    set_role(cast.dana, "owner")
    set_role(cast.alice, "admin")
    assert As(cast.bob).ask("POST", "tenant/ownership/accept").status_code == 404


def test_removal_ends_workspace_memberships_keys_and_tokens(cast: Cast) -> None:
    bob = As(cast.bob)
    key = bob.ask("POST", "workspaces/sales/api-keys", {"name": "mine", "scopes": ["chat"]}).json()["key"]
    assert As(cast.alice).ask("DELETE", member(cast.bob)).status_code == 204
    assert bob.ask("GET", "tenant").status_code == 401
    assert As(credential=key).ask("GET", "models").status_code == 401
    assert not WorkspaceMember.objects.filter(user=cast.bob.user).exists()
    assert ApiKey.objects.get().revoked_at is not None


def test_rejoining_does_not_revive_old_tokens(cast: Cast) -> None:
    bob = As(cast.bob)
    As(cast.alice).ask("DELETE", member(cast.bob))
    tenant = Tenant.objects.get(slug="acme")
    Membership.objects.create(user=cast.bob.user, tenant=tenant)
    tenant.workspaces.get(slug="sales").members.create(user=cast.bob.user)
    assert bob.ask("GET", "tenant").status_code == 401


@pytest.mark.parametrize(("rule", "expected"), [("keep", 0), ("delete", 1)])
def test_a_leavers_conversations_follow_the_teams_rule(cast: Cast, rule: str, expected: int) -> None:
    As(cast.alice).ask("PATCH", "tenant", {"departed_conversations": rule})
    As(cast.alice).ask("DELETE", member(cast.bob))
    assert Departure.objects.filter(user=cast.bob.user).count() == expected


def test_a_guest_cannot_manage_a_workspace(cast: Cast) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.user).update(role="manager")
    As(cast.alice).ask("PATCH", member(cast.bob), {"role": "guest"})
    assert WorkspaceMember.objects.get(user=cast.bob.user).role == "editor"
    path = f"workspaces/sales/members/{cast.bob.principal.user_id}"
    assert As(cast.alice).ask("PUT", path, {"role": "manager"}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_demote_each_other_one_succeeds(cast: Cast) -> None:
    for person in (cast.bob, cast.dana):
        set_role(person, "admin")
    ready = threading.Barrier(2)
    statuses: list[int] = []

    def demote(actor: Person, other: Person) -> None:
        ready.wait()
        statuses.append(As(actor).ask("PATCH", member(other), {"role": "member"}).status_code)
        connection.close()

    pairs = [(cast.bob, cast.dana), (cast.dana, cast.bob)]
    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200, 403]
    assert sorted([role_of(cast.bob), role_of(cast.dana)]) == ["admin", "member"]  # type: ignore[type-var]


@pytest.mark.parametrize("name", ["", "x" * 10_000, "a\0b", 7, None, ["x"]])
def test_a_teams_name_is_one_line_of_text(cast: Cast, name: Any) -> None:
    answer = As(cast.alice).ask("PATCH", "tenant", {"name": name})
    assert answer.status_code in ({200} if name == 7 else {400, 422})


def test_markup_in_a_name_is_escaped(cast: Cast) -> None:
    User.objects.filter(id=cast.bob.user.id).update(name="<script>alert(1)</script>")
    data = As(cast.alice).ask("GET", "tenant/members").json()["data"]
    assert "<script>alert(1)</script>" in [row["user"]["name"] for row in data]
