"""The windows of budgets: a minute, a tenant's day and month, all time, and concurrent turns."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from kit.errors import InvalidInput
from quotas.models import Budget

Window = Budget.Window
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)  # the start of windows without an end
LONGEST_ZONE = 64


@dataclass(frozen=True, slots=True)
class Span:
    """A window's first instant, and the one after its last; None if it never ends."""

    starts_at: datetime
    resets_at: datetime | None


def spans_at(moment: datetime, time_zone: str) -> dict[str, Span]:
    """The window of each kind around `moment` (aware); days and months are in the time zone."""
    zone = ZoneInfo(time_zone)
    today = moment.astimezone(zone).date()
    first = today.replace(day=1)
    minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
    return {
        Window.MINUTE: Span(minute, minute + timedelta(minutes=1)),
        Window.DAY: Span(midnight(today, zone), midnight(today + timedelta(days=1), zone)),
        Window.MONTH: Span(midnight(first, zone), midnight(_next_month(first), zone)),
        Window.TOTAL: Span(ALWAYS, None),
        Window.AT_ONCE: Span(ALWAYS, None),
    }


def day_at(moment: datetime, time_zone: str) -> date:
    """The date at `moment` in the time zone."""
    return moment.astimezone(ZoneInfo(time_zone)).date()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The day's first instant, in UTC: if clocks skip midnight, the instant of the change; if midnight occurs
    twice, the first."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def known_zone(name: str) -> str:
    """The IANA name of a time zone as given; InvalidInput for one that does not exist."""
    if len(name) > LONGEST_ZONE or name not in available_timezones():
        raise InvalidInput(time_zone=["Unknown time zone. Enter an IANA name such as Europe/Berlin."])
    return name
