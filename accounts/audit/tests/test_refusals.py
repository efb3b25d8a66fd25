"""Refusals in the audit: the first at once, those that repeat it as one entry with an exact count."""

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
    """What the refusals take for the time."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    clock = Clock()
    monkeypatch.setattr(refusals, "timezone", clock)
    return clock


def refused(cast: Cast, times: int, code: str = "role_too_low", **told: Any) -> None:
    for _ in range(times):
        record_refusal("turn.refused", code=code, principal=cast.bob.principal, **told)


def counts() -> list[int]:
    return list(
        AuditEntry.objects.filter(action="turn.refused").order_by("at").values_list("count", flat=True)
    )


def test_six_hundred_in_a_minute_are_two_entries_with_their_number(cast: Cast, clock: Clock) -> None:
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


def test_what_somebody_names_makes_no_more_entries(cast: Cast, clock: Clock) -> None:
    for number in range(20):
        refused(cast, 1, target=f"model-{number}", workspace_id=uuid4())
    clock.moment += timedelta(minutes=1)
    write_repeats()
    assert counts() == [1, 19]
    repeats = AuditEntry.objects.get(count=19)
    assert (repeats.target, repeats.workspace_id) == ("", None)


def test_each_code_and_each_person_is_counted_apart(cast: Cast, clock: Clock) -> None:
    refused(cast, 2)
    refused(cast, 2, code="not_found")
    record_refusal("turn.refused", code="role_too_low", principal=cast.dana.principal)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    assert sorted(counts()) == [1, 1, 1, 1, 1]


def test_the_next_minute_begins_with_an_entry_and_brings_the_last_ones_count(
    cast: Cast, clock: Clock
) -> None:
    refused(cast, 5)
    clock.moment += timedelta(minutes=1)
    refused(cast, 1)
    assert counts() == [1, 1, 4]


def test_a_minute_that_is_not_over_is_left_to_count_on(cast: Cast, clock: Clock) -> None:
    refused(cast, 3)
    write_repeats()
    assert counts() == [1]
    refused(cast, 2)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    write_repeats()
    assert counts() == [1, 4]


def test_what_somebody_does_meanwhile_has_its_own_entry(cast: Cast, clock: Clock) -> None:
    refused(cast, 50)
    audit.record("member.removed", principal=cast.alice.principal)
    assert AuditEntry.objects.get(action="member.removed").count == 1


def test_the_count_is_told_over_rest(cast: Cast, clock: Clock) -> None:
    refused(cast, 3)
    clock.moment += timedelta(minutes=1)
    write_repeats()
    told = As(cast.alice).ask("GET", "tenant/audit?action=turn.refused").json()["data"]
    assert sorted(row["count"] for row in told) == [1, 2]


def test_switching_in_vain_does_not_flood_the_audit(cast: Cast) -> None:
    bob = As(cast.bob)
    for number in range(30):
        assert (
            bob.ask("POST", "auth/switch", {"tenantId": f"t{number}", "workspaceId": "x"}).status_code == 404
        )
    assert AuditEntry.objects.filter(action="user.switch_refused").count() <= 3
