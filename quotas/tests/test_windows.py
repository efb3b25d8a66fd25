"""Windows follow a tenant's days and months, across clock changes; a call counts when it was held."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import available_timezones

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Tenant
from accounts.tests.cast import Cast
from kit.errors import InvalidInput
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, UsageDay
from quotas.prices import Usage
from quotas.reservations import close_turn
from quotas.tests.ledger import limit_to, planned_call, settled
from quotas.tests.test_levels import begin
from quotas.windows import day_at, known_zone, spans_at

ZONES = sorted(available_timezones())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "moment", "window", "starts", "resets"),
    [
        ("UTC", "2026-12-31T23:59:59Z", "month", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("UTC", "2026-02-01T00:00:00Z", "month", "2026-02-01T00:00Z", "2026-03-01T00:00Z"),
        ("UTC", "2026-11-24T12:34:56.789Z", "minute", "2026-11-24T12:34Z", "2026-11-24T12:35Z"),
        ("Asia/Tokyo", "2026-11-24T15:00Z", "day", "2026-11-24T15:00Z", "2026-11-25T15:00Z"),
        ("Asia/Tokyo", "2026-11-24T14:59:59Z", "day", "2026-11-23T15:00Z", "2026-11-24T15:00Z"),
        # A day of 23 hours, one of 25, and months that begin and end in different offsets.
        ("Europe/Berlin", "2026-03-29T12:00Z", "day", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("Europe/Berlin", "2026-10-25T12:00Z", "day", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("Europe/Berlin", "2026-03-15T12:00Z", "month", "2026-02-28T23:00Z", "2026-03-31T22:00Z"),
        # Clocks skip midnight: the day begins with the change. Midnight occurs twice: with the first.
        ("Africa/Cairo", "2026-04-24T12:00Z", "day", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),
        ("America/Havana", "2026-11-01T12:00Z", "day", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        ("Asia/Kathmandu", "2026-11-24T18:15Z", "day", "2026-11-24T18:15Z", "2026-11-25T18:15Z"),
    ],
)
def test_a_window_follows_the_calendar_of_the_time_zone(
    zone: str, moment: str, window: str, starts: str, resets: str
) -> None:
    span = spans_at(at(moment), zone)[window]
    assert (span.starts_at, span.resets_at) == (at(starts), at(resets))


@given(
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
)
def test_every_moment_is_in_its_windows_and_they_are_contiguous(moment: datetime, zone: str) -> None:
    for window, span in spans_at(moment, zone).items():
        assert span.starts_at <= moment
        if span.resets_at is not None:
            assert moment < span.resets_at
            assert spans_at(span.resets_at, zone)[window].starts_at == span.resets_at
            assert spans_at(span.resets_at - timedelta(microseconds=1), zone)[window] == span


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "UTC ", "../UTC", "Europe", "é", "x" * 1000])
def test_only_existing_time_zones_are_accepted(name: str) -> None:
    with pytest.raises(InvalidInput):
        known_zone(name)
    assert known_zone("Europe/Berlin") == "Europe/Berlin"


@pytest.mark.django_db
def test_a_call_that_spans_midnight_counts_on_the_day_it_was_held(cast: Cast) -> None:
    Tenant.objects.update(time_zone="America/New_York")
    limit_to(cast.alice, 100, level="tenant", window="day")
    evening = datetime(2026, 11, 25, 4, 59, 30, tzinfo=UTC)  # half a minute before midnight in New York
    payer_zone = {"zone": "America/New_York"}
    with time_machine.travel(evening, tick=False) as clock:
        turn, call = begin(cast.alice, **payer_zone), planned_call(10, 20)
        clock.shift(timedelta(minutes=2))
        other = begin(cast.alice, **payer_zone)
        settled(turn, uuid4(), call, Usage(10, 15))
        settled(other, uuid4(), call, Usage(1, 1))
        close_turn(turn_id=turn)
        close_turn(turn_id=other)
    days = dict(UsageDay.objects.values_list("day", "output_tokens"))
    assert {str(day): tokens for day, tokens in days.items()} == {"2026-11-24": 15, "2026-11-25": 1}
    counters = BudgetWindow.objects.filter(level="tenant").order_by("starts_at")
    assert [(row.used, row.reserved) for row in counters] == [(25, 0), (2, 0)]
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_a_new_day_begins_with_the_full_budget(cast: Cast) -> None:
    limit_to(cast.alice, 30, level="tenant", window="day")
    with time_machine.travel(datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC), tick=False) as clock:
        begin(cast.alice)
        clock.shift(timedelta(seconds=1))
        begin(cast.alice)


def test_the_day_is_that_of_the_time_zone() -> None:
    moment = at("2026-11-24T23:30Z")
    assert [str(day_at(moment, zone)) for zone in ("UTC", "Asia/Tokyo", "America/New_York")] == [
        "2026-11-24",
        "2026-11-25",
        "2026-11-24",
    ]
