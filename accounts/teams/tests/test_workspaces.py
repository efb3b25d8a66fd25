"""Workspaces: created, renamed, archived, restored, deleted after a grace period; members and the default."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry, Membership, Workspace, WorkspaceMember
from accounts.tests.cast import Cast, Person
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db


def members_path(person: Person, workspace: str = "sales") -> str:
    return f"workspaces/{workspace}/members/{person.principal.user_id}"


def names_for(person: Person) -> list[str]:
    return [row["id"] for row in As(person).ask("GET", "workspaces").json()["data"]]


def test_an_admin_creates_a_workspace_and_manages_it(cast: Cast) -> None:
    made = As(cast.alice).ask("POST", "workspaces", {"name": "  Field   trips "})
    assert (made.status_code, made.json()["id"], made.json()["name"]) == (201, "field-trips", "Field trips")
    assert made.json()["member_count"] == 1
    assert WorkspaceMember.objects.get(workspace__slug="field-trips").role == "manager"
    assert As(cast.bob).ask("POST", "workspaces", {"name": "Mine"}).status_code == 403


def test_a_chosen_slug_is_used_or_refused(cast: Cast) -> None:
    alice = As(cast.alice)
    made = alice.ask("POST", "workspaces", {"name": "Field trips", "slug": "trips"})
    assert (made.status_code, made.json()["id"], made.json()["name"]) == (201, "trips", "Field trips")
    assert code_of(alice.ask("POST", "workspaces", {"name": "Again", "slug": "trips"})) == "conflict"
    for slug in ("admin", "Trips", "-trips", "a_b", "x" * 41):
        answer = alice.ask("POST", "workspaces", {"name": "Wrong", "slug": slug})
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["slug"])


def test_members_see_their_workspaces_and_admins_all(cast: Cast) -> None:
    assert names_for(cast.bob) == ["sales"]
    assert names_for(cast.alice) == ["sales", "ops"]


def test_renaming_does_not_change_the_slug(cast: Cast) -> None:
    answer = As(cast.alice).ask("PATCH", "workspaces/sales", {"name": "Selling"})
    assert (answer.json()["id"], answer.json()["name"]) == ("sales", "Selling")
    entry = AuditEntry.objects.get(action="workspace.renamed")
    assert entry.changes == {"name": ["Sales", "Selling"]}


def test_an_archived_workspace_cannot_be_entered_until_restored(cast: Cast) -> None:
    alice, dana = As(cast.alice), As(cast.dana)
    assert alice.ask("PATCH", "workspaces/ops", {"archived": True}).json()["archived_at"]
    assert dana.ask("GET", "workspaces/ops/models").status_code == 401
    assert alice.ask("PATCH", "workspaces/ops", {"archived": False}).json()["archived_at"] is None
    assert dana.ask("GET", "workspaces/ops/models").status_code == 200


def test_a_deleted_workspace_can_be_restored_within_the_grace_period(cast: Cast) -> None:
    alice = As(cast.alice)
    deleted = alice.ask("DELETE", "workspaces/ops")
    assert deleted.status_code == 202
    due = Workspace.objects.get(slug="ops").delete_after
    assert due is not None
    assert timedelta(days=29) < due - timezone.now() <= timedelta(days=30)
    assert As(cast.dana).ask("GET", "workspaces/ops").status_code == 401
    assert alice.ask("PATCH", "workspaces/ops", {"archived": False}).json()["delete_after"] is None
    assert As(cast.dana).ask("GET", "workspaces/ops").status_code == 200


def test_the_default_workspace_cannot_be_archived(cast: Cast) -> None:
    alice = As(cast.alice)
    assert code_of(alice.ask("PATCH", "workspaces/sales", {"archived": True})) == "conflict"
    assert code_of(alice.ask("DELETE", "workspaces/sales")) == "conflict"
    assert alice.ask("PATCH", "workspaces/ops", {"default": True}).status_code == 200
    assert alice.ask("PATCH", "workspaces/sales", {"archived": True}).status_code == 200
    assert alice.ask("GET", "tenant").status_code == 401  # her token was for sales


def test_a_change_is_applied_completely_or_not_at_all(cast: Cast) -> None:
    answer = As(cast.alice).ask("PATCH", "workspaces/sales", {"name": "Selling", "archived": True})
    assert answer.status_code == 409
    assert Workspace.objects.get(slug="sales", tenant__slug="acme").name == "Sales"


def test_a_manager_adds_and_removes_members(cast: Cast) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.user).update(role="manager")
    bob = As(cast.bob)
    added = bob.ask("PUT", members_path(cast.dana), {"role": "viewer"})
    assert (added.status_code, added.json()["role"]) == (200, "viewer")
    assert bob.ask("PUT", members_path(cast.charlie), {"role": "viewer"}).status_code == 404
    assert bob.ask("DELETE", members_path(cast.dana)).status_code == 204
    assert bob.ask("DELETE", members_path(cast.dana)).status_code == 404
    actions = list(AuditEntry.objects.filter(target="dana@example.com").values_list("action", flat=True))
    assert actions == ["workspace_member.removed", "workspace_member.added"]


def test_everyone_may_leave_a_workspace(cast: Cast) -> None:
    assert As(cast.bob).ask("DELETE", members_path(cast.bob)).status_code == 204
    assert As(cast.bob).ask("GET", "tenant").status_code == 401


def test_an_admin_oversees_a_workspace_without_being_in_it(cast: Cast) -> None:
    Membership.objects.filter(user=cast.bob.user).update(role="admin")
    bob = As(cast.bob)
    assert bob.ask("GET", "workspaces/ops/members").status_code == 200
    assert bob.ask("GET", "workspaces/ops/models").status_code == 403
    assert bob.ask("GET", "conversations?workspace_id=ops").status_code == 404


def test_statements_do_not_grow_with_the_rows(cast: Cast) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert As(cast.alice).ask("GET", path).status_code == 200
        return len(queries.captured_queries)

    paths = ["workspaces", "tenant/members", "workspaces/sales/members", "tenant/audit", "tenant/invitations"]
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": ["a1@example.com"]})
    before = [count(path) for path in paths]
    tenant = Workspace.objects.get(slug="ops").tenant
    for number in range(5):
        room = Workspace.objects.create(tenant=tenant, slug=f"room-{number}", name="Room")
        room.members.create(user=cast.bob.user)
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": [f"b{n}@example.com" for n in range(9)]})
    assert [count(path) for path in paths] == before
