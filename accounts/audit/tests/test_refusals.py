"""Refusals in the audit: the first immediately, its repeats as one entry with an exact count."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.audit import refusals
from accounts.audit import services as audit
from accounts.audit.refusals import record_refusal, write_repeats
from accounts.models import AuditEntry, Refusal
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


class Clock:
    """The time as `refusals` reads it."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    clock = Clock()
    monkeypatch.setattr(refusals, "timezone", clock)
    return clock


def refused(cast: Cast, times: int, code: str = "role_too_low", **fields: Any) -> None:
    for _ in range(times):
        record_refusal("turn.refused", code=code, principal=cast.bob.principal, **fields)


def counts() -> list[int]:
    return list(
        AuditEntry.objects.filter(action="turn.refused").order_by("at").values_list("count", flat=True)
    )


def test_600_refusals_in_a_minute_are_two_entries_with_a_count(cast: Cast, clock: Clock) -> None:
    refused(cast, 600, target="gpt-4")
    assert counts() == [1]
    clock.moment += timedelta(minutes=1)
    write_repeats()
    assert counts() == [1, 599]
    first, repeats = AuditEntry.objects.filter(action="turn.refused").order_by("at")
    for entry in (first, repeats):
        assert (entry.actor_email, entry.target) == ("bob@example.com", "gpt-4")
        assert entry.tenant_id == cast.bob.principal.tenant.id
        assert entry.workspace_id == cast.bob.principal.workspace.id
        assert entry.details["code"] == "role_too_low"
    assert repeats.details["since"] == "2026-05-01T12:00:00+00:00"
    assert Refusal.objects.count() == 0


def test_varying_targets_and_workspaces_add_no_entries(cast: Cast, clock: Clock) -> None:
    for number in range(20):
        refused(cast, 1, target=f"model-{number}", workspace_id=uuid4())
    clock.moment += timedelta(minutes=1)
    write_repeats()
    assert counts() == [1, 19]
    repeats = AuditEntry.objects.get(count=19)
    assert (repeats.target, repeats.workspace_id) == ("", None)


def test_each_code_and_person_is_counted_separately(cast: Cast, clock: Clock) -> None:
    refused(cast, 2)
    refused(cast, 2, code="not_found")
    record_refusal("turn.refused", code="role_too_low", principal=cast.dana.principal)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    assert sorted(counts()) == [1, 1, 1, 1, 1]


def test_the_next_minute_starts_with_an_entry_and_writes_the_last_count(cast: Cast, clock: Clock) -> None:
    refused(cast, 5)
    clock.moment += timedelta(minutes=1)
    refused(cast, 1)
    assert counts() == [1, 1, 4]


def test_the_current_minute_is_not_written_yet(cast: Cast, clock: Clock) -> None:
    refused(cast, 3)
    write_repeats()
    assert counts() == [1]
    refused(cast, 2)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    write_repeats()
    assert counts() == [1, 4]


def test_other_actions_in_between_have_entries_of_their_own(cast: Cast, clock: Clock) -> None:
    refused(cast, 50)
    audit.record("member.removed", principal=cast.alice.principal)
    assert AuditEntry.objects.get(action="member.removed").count == 1


def test_rest_returns_the_count(cast: Cast, clock: Clock) -> None:
    refused(cast, 3)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    data = As(cast.alice).ask("GET", "tenant/audit?action=turn.refused").json()["data"]
    assert sorted(row["count"] for row in data) == [1, 2]


def test_refused_switches_do_not_flood_the_audit(cast: Cast) -> None:
    bob = As(cast.bob)
    for number in range(30):
        assert (
            bob.ask("POST", "auth/switch", {"tenantId": f"t{number}", "workspaceId": "x"}).status_code == 404
        )
    assert AuditEntry.objects.filter(action="user.switch_refused").count() <= 3
