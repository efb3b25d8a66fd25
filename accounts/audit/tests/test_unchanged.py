"""A change to the present values saves nothing and leaves no entry."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, Membership, Workspace
from accounts.sign_in import profile
from accounts.teams import members, tenants, workspaces
from accounts.teams.inputs import TenantChange, WorkspaceChange
from accounts.tests.cast import Cast

pytestmark = pytest.mark.django_db
ROWS = (
    "accounts_tenant",
    "accounts_membership",
    "accounts_workspace",
    "accounts_workspacemember",
    "accounts_user",
)


def change_of(what: str, cast: Cast) -> Any:
    alice, bob = cast.alice.principal, cast.bob.principal
    return {
        "team": lambda: tenants.change_tenant(
            principal=alice, change=TenantChange(name="Acme", departed_conversations="keep")
        ),
        "role": lambda: members.change_role(principal=alice, user_id=bob.user_id, role="member"),
        "workspace": lambda: workspaces.change_workspace(
            principal=alice, change=WorkspaceChange(name="Sales")
        ),
        "default workspace": lambda: workspaces.change_workspace(
            principal=alice, change=WorkspaceChange(default=True)
        ),
        "open workspace": lambda: workspaces.change_workspace(
            principal=alice, change=WorkspaceChange(archived=False)
        ),
        "workspace role": lambda: workspaces.add_member(principal=alice, user_id=bob.user_id, role="editor"),
        "profile": lambda: profile.change_profile(user=cast.alice.user, name="Alice", reply_language=""),
    }[what]


@pytest.mark.parametrize(
    "what",
    ["team", "role", "workspace", "default workspace", "open workspace", "workspace role", "profile"],
)
def test_an_unchanged_value_is_neither_saved_nor_audited(cast: Cast, what: str) -> None:
    entries = AuditEntry.objects.count()
    with CaptureQueriesContext(connection) as queries:
        change_of(what, cast)()
    written = [query["sql"] for query in queries.captured_queries if query["sql"].startswith("UPDATE")]
    assert not [
        sql for sql in written if any(f'"{table}"' in sql for table in ROWS) and "archived" not in sql
    ]
    assert AuditEntry.objects.count() == entries


def test_a_changed_value_is_audited_once(cast: Cast) -> None:
    alice, bob = cast.alice.principal, cast.bob.principal
    members.change_role(principal=alice, user_id=bob.user_id, role="admin")
    workspaces.change_workspace(principal=alice, change=WorkspaceChange(name="Selling"))
    workspaces.add_member(principal=alice, user_id=bob.user_id, role="viewer")
    entries = AuditEntry.objects.filter(
        action__in=["member.role_changed", "workspace.renamed", "workspace_member.role_changed"]
    )
    assert [entry.changes for entry in entries.order_by("at")] == [
        {"role": ["member", "admin"]},
        {"name": ["Sales", "Selling"]},
        {"role": ["editor", "viewer"]},
    ]
    assert Membership.objects.get(user=bob.user_id).role == "admin"
    assert Workspace.objects.get(id=alice.workspace.id).name == "Selling"
