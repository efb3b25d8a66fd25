"""Finds the counters that a workspace's calls are held against now, and moves them conditionally."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from kit.errors import QuotaExceeded
from quotas.models import Budget, BudgetWindow


@dataclass(frozen=True, slots=True)
class Figures:
    """One budget as clients see it; tokens throughout. `remaining` is never below 0."""

    level: str
    metric: str
    window: str
    limit: int
    used: int
    reserved: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used - self.reserved)

    @property
    def percent_used(self) -> int:
        """How full the budget is, what is reserved included: 0 to 100."""
        return min(100, round(100 * (self.used + self.reserved) / self.limit)) if self.limit else 100

    def as_dict(self) -> dict[str, object]:
        return {
            "level": self.level,
            "metric": self.metric,
            "window": self.window,
            "limit": self.limit,
            "used": self.used,
            "reserved": self.reserved,
            "remaining": self.remaining,
            "resets_at": self.resets_at.isoformat(),
        }


def month_of(moment: datetime) -> tuple[datetime, datetime]:
    """The calendar month (UTC) around `moment`: its first instant, and the next month's."""
    start = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (
        start.replace(year=start.year + 1, month=1)
        if start.month == 12
        else start.replace(month=start.month + 1)
    )
    return start, following


def current_window(workspace_id: UUID) -> BudgetWindow | None:
    """The workspace's counters for this month, made on first use; None where it has no budget."""
    starts_at, resets_at = month_of(timezone.now())
    known = BudgetWindow.objects.select_related("budget").filter(
        budget__workspace_id=workspace_id, starts_at=starts_at
    )
    window = known.first()
    if window is not None:
        return window
    budget = Budget.objects.filter(workspace_id=workspace_id).first()
    if budget is None:
        return None
    fresh = BudgetWindow(budget=budget, starts_at=starts_at, resets_at=resets_at)
    BudgetWindow.objects.bulk_create([fresh], ignore_conflicts=True)
    return known.get()


def used_this_month(workspace_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Tokens that each workspace has used of its monthly budget; one read for all of them."""
    starts_at, _ = month_of(timezone.now())
    windows = BudgetWindow.objects.filter(
        budget__workspace__in=list(workspace_ids),
        budget__level=Budget.Level.WORKSPACE,
        budget__window=Budget.Window.MONTH,
        starts_at=starts_at,
    )
    return dict(windows.values_list("budget__workspace", "used"))


def reserve(window: BudgetWindow | None, amount: int) -> None:
    """Adds `amount` to what is reserved if the budget covers it, in one conditional update.

    The condition stands on the counter's own row, so PostgreSQL checks it again after waiting for
    another turn's update; a joined condition would be checked against the old snapshot.
    """
    if window is None or amount == 0:
        return
    room = BudgetWindow.objects.filter(id=window.pk)
    if amount > 0:
        room = room.filter(used__lte=window.budget.limit - amount - F("reserved"))
    if not room.update(reserved=F("reserved") + amount):
        raise refusal(window, amount)


def refusal(window: BudgetWindow, requested: int) -> QuotaExceeded:
    """The refusal with the figures as they stand."""
    window.refresh_from_db(fields=["used", "reserved"])
    return QuotaExceeded(
        "This month's budget of the workspace does not cover the request.",
        **figures_of(window).as_dict(),
        requested=requested,
    )


def figures_of(window: BudgetWindow) -> Figures:
    budget = window.budget
    return Figures(
        level=budget.level,
        metric=budget.metric,
        window=budget.window,
        limit=budget.limit,
        used=window.used,
        reserved=window.reserved,
        resets_at=window.resets_at,
    )


def workspace_figures(workspace_id: UUID) -> list[Figures]:
    """Every budget that applies in the workspace, with its figures now."""
    window = current_window(workspace_id)
    return [figures_of(window)] if window else []
