"""The audit: in the same transaction, secrets masked, never changed, filtered for admins."""

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.audit import services as audit
from accounts.models import AuditEntry, Tenant
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET action = 'nothing'",
        "DELETE FROM accounts_auditentry",
        "TRUNCATE accounts_auditentry",
    ],
)
def test_the_database_refuses_to_change_an_entry(statement: str) -> None:
    audit.record("user.signed_in")
    with (
        pytest.raises(ProgrammingError, match="only ever added"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEntry.objects.filter(action="user.signed_in").exists()


def test_an_entry_has_actor_address_changes_and_request_id(cast: Cast) -> None:
    answer = As(cast.alice).ask("PATCH", "tenant", {"name": "Acme & Sons"})
    entry = AuditEntry.objects.get(action="tenant.changed")
    assert (entry.actor_email, entry.address, entry.workspace_id) == ("alice@example.com", "127.0.0.1", None)
    assert entry.changes == {"name": ["Acme", "Acme & Sons"]}
    assert entry.request_id == answer.headers["X-Request-ID"]


def test_an_entry_names_the_key_that_acted_without_its_secret(cast: Cast) -> None:
    key = As(cast.alice).ask("POST", "tenant/api-keys", {"name": "ops", "scopes": ["manage"]}).json()
    As(credential=key["key"]).ask("PATCH", "tenant", {"name": "By key"})
    entry = AuditEntry.objects.get(action="tenant.changed")
    assert (entry.via, entry.actor_email) == ("key", "alice@example.com")
    assert key["key"].startswith(f"sy_{entry.api_key}_")
    assert key["key"].removeprefix(f"sy_{entry.api_key}_") not in str(list(AuditEntry.objects.values()))


def test_secrets_are_masked() -> None:
    audit.record(
        "key.changed", changes={"api_key": ["old", "new"], "name": ["a", "b"], "password": [None, "p"]}
    )
    assert AuditEntry.objects.get(action="key.changed").changes == {
        "api_key": ["***", "***"],
        "name": ["a", "b"],
        "password": ["***", "***"],
    }


def test_a_failed_change_leaves_no_entry(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.teams.members.access_changed", lambda user_id: 1 / 0)
    before = AuditEntry.objects.count()
    with pytest.raises(ZeroDivisionError):
        As(cast.alice).ask("PATCH", f"tenant/members/{cast.bob.principal.user_id}", {"role": "admin"})
    assert AuditEntry.objects.count() == before
    assert cast.bob.user.memberships.get().role == "member"


def found(cast: Cast, **wanted: str) -> list[str]:
    path = "tenant/audit?" + "&".join(f"{name}={text}" for name, text in wanted.items())
    answer = As(cast.alice).ask("GET", path)
    assert answer.status_code == 200, answer.content
    return [row["action"] for row in answer.json()["data"]]


def test_entries_are_filtered_by_action_actor_and_time(cast: Cast) -> None:
    As(cast.alice).ask("PATCH", "tenant", {"name": "A"})
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": ["erin@example.com"]})
    assert found(cast, action="tenant.changed") == ["tenant.changed"]
    assert found(cast, action="invitation.*") == ["invitation.sent"]
    assert found(cast, actor="bob@example.com") == []
    assert found(cast, actor="ALICE@example.com", action="tenant.changed") == ["tenant.changed"]
    assert found(cast, until="2000-01-01T00:00:00Z") == []
    assert found(cast, since="2000-01-01T00:00:00Z")[0] == "invitation.sent"


@pytest.mark.parametrize(
    "since", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z"]
)
def test_an_invalid_time_is_refused(cast: Cast, since: str) -> None:
    assert As(cast.alice).ask("GET", f"tenant/audit?since={since}").status_code == 422


def test_another_teams_audit_cannot_be_read(cast: Cast) -> None:
    As(cast.alice).ask("PATCH", "tenant", {"name": "A"})
    data = As(cast.charlie).ask("GET", "tenant/audit").json()["data"]
    assert "tenant.changed" not in {row["action"] for row in data}


def test_an_entry_outlives_its_workspace(cast: Cast) -> None:
    As(cast.alice).ask("POST", "workspaces", {"name": "Annex"})
    Tenant.objects.get(slug="acme").workspaces.get(slug="annex").delete()
    assert AuditEntry.objects.filter(action="workspace.created").count() == 1
    assert As(cast.alice).ask("GET", "tenant/audit").status_code == 200
