"""Finds in one read which budgets and limits apply to a call, and what is left of each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from kit.errors import DomainError, RateLimited
from quotas.amounts import amount_text
from quotas.errors import PriceUnknown, QuotaExceeded
from quotas.models import Budget
from quotas.models.rules import EVERYBODY
from quotas.planned_calls import Payer, PlannedCall
from quotas.prices import Rates
from quotas.windows import Span, day_at, spans_at

Level, Metric, Window, SetBy = Budget.Level, Budget.Metric, Budget.Window, Budget.SetBy
RATES = frozenset({Window.MINUTE, Window.AT_ONCE})
LEVELS = list(Level)
AT_ONCE_SECONDS = 2  # Retry-After if there are too many concurrent turns

# One read: the price in force, the budgets that may apply, and the counter of each in its current window.
APPLYING = """
    SELECT price.input, coalesce(price.cached_input, price.input),
           price.output, coalesce(price.reasoning, price.output),
           budget.id, budget.plan_id IS NOT NULL, budget.set_by, budget.level, budget.scope_id,
           budget.subject_id, budget.is_own, budget.metric, budget."window",
           budget."limit", budget.soft_percent, counter.id, counter.used, counter.reserved, counter.granted
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (
        SELECT * FROM quotas_price
        WHERE effective_from <= %(now)s
          AND ((workspace_id = %(workspace)s AND provider = '' AND model = %(slug)s)
            OR (workspace_id IS NULL AND provider = %(provider)s AND model = %(upstream)s))
        ORDER BY workspace_id IS NULL, effective_from DESC LIMIT 1
    ) AS price ON true
    LEFT JOIN LATERAL (
        SELECT *,
            CASE WHEN level = 'member' THEN coalesce(workspace_id, %(tenant)s) ELSE %(tenant)s END
                AS scope_id,
            CASE level WHEN 'tenant' THEN %(tenant)s WHEN 'workspace' THEN %(workspace)s
                       WHEN 'member' THEN %(user)s ELSE %(key)s::uuid END AS subject_id,
            CASE level WHEN 'tenant' THEN true WHEN 'workspace' THEN workspace_id IS NOT NULL
                       WHEN 'member' THEN member_id IS NOT NULL ELSE api_key_id IS NOT NULL END AS is_own,
            CASE "window" WHEN 'minute' THEN %(minute)s WHEN 'day' THEN %(day)s
                          WHEN 'month' THEN %(month)s ELSE %(always)s END AS starts_at
        FROM (
            SELECT * FROM quotas_budget WHERE tenant_id = %(tenant)s AND target = ANY(%(targets)s)
            UNION ALL
            SELECT * FROM quotas_budget
            WHERE plan_id = (SELECT plan_id FROM quotas_tenantplan WHERE tenant_id = %(tenant)s)
        ) AS candidate
        WHERE (workspace_id IS NULL OR workspace_id = %(workspace)s)
          AND (level <> 'api_key' OR %(key)s::uuid IS NOT NULL)
    ) AS budget ON true
    LEFT JOIN quotas_budgetwindow AS counter
        ON counter.subject_id = budget.subject_id AND counter.scope_id = budget.scope_id
       AND counter.level = budget.level AND counter.metric = budget.metric
       AND counter."window" = budget."window" AND counter.starts_at = budget.starts_at
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget that applies to a payer now, with its counter; `counter_id` is None before its first use.

    `limit` excludes the extra that an operator granted for the window; `soft_limit` may be None.
    """

    budget_id: UUID
    level: str
    scope_id: UUID
    subject_id: UUID
    metric: str
    window: str
    span: Span
    limit: int
    soft_limit: int | None
    counter_id: int | None = None
    used: int = 0
    reserved: int = 0
    granted: int = 0
    in_one_workspace: bool = False  # a member's limit that counts only one workspace

    @property
    def most(self) -> int:
        """The limit plus the extra that an operator granted for the window."""
        return self.limit + self.granted

    @property
    def remaining(self) -> int:
        return max(0, self.most - self.used - self.reserved)

    @property
    def percent_used(self) -> int:
        """Used and reserved, in percent of the limit: 0 to 100."""
        return min(100, round(100 * (self.used + self.reserved) / self.most)) if self.most else 100

    @property
    def is_rate(self) -> bool:
        """True for a limit per minute or of concurrent turns, which is not a budget."""
        return self.window in RATES

    @property
    def is_near(self) -> bool:
        """Its soft limit is reached."""
        return self.soft_limit is not None and self.used >= self.soft_limit

    @property
    def resets_at(self) -> datetime | None:
        return self.span.resets_at

    def as_dict(self) -> dict[str, Any]:
        """In the format for clients, in tokens, requests, turns, or millionths of the currency."""
        resets_at = self.resets_at
        data: dict[str, Any] = {
            "level": str(self.level),
            "metric": str(self.metric),
            "window": str(self.window),
            "limit": self.most,
            "soft_limit": self.soft_limit,
            "used": self.used,
            "reserved": self.reserved,
            "remaining": self.remaining,
            "resets_at": resets_at.isoformat() if resets_at else None,
        }
        return data | ({"currency": settings.CURRENCY} if self.metric == Metric.COST else {})

    def refusal(self, requested: int) -> DomainError:
        """The error that names the limit, with its current figures."""
        figures = {**self.as_dict(), "requested": requested, **self._retry_after()}
        if self.is_rate:
            return RateLimited(_rate_text(self), **figures)
        return QuotaExceeded(_budget_text(self, requested), **figures)

    def _retry_after(self) -> dict[str, int]:
        """Whole seconds until a retry makes sense; empty if it never does."""
        if self.window == Window.AT_ONCE:
            return {"retry_after": AT_ONCE_SECONDS}
        if self.resets_at is None:
            return {}
        return {"retry_after": max(1, -int((timezone.now() - self.resets_at).total_seconds() // 1))}


WHOSE = {
    Level.TENANT: "the team's",
    Level.WORKSPACE: "the workspace's",
    Level.MEMBER: "your",
    Level.API_KEY: "the API key's",
}
WHEN = {Window.DAY: " for today", Window.MONTH: " for this month", Window.TOTAL: ""}


def _budget_text(limit: Limit, requested: int) -> str:
    whose, when = WHOSE[Level(limit.level)], WHEN[Window(limit.window)]
    unit = limit.metric.removesuffix("s")
    left, needed = amount_text(limit.metric, limit.remaining), amount_text(limit.metric, requested)
    return (
        f"{whose[0].upper()}{whose[1:]} {unit} budget{when} has {left} left. This needs up to {needed}. "
        "Choose a model with a shorter reply limit, or ask an admin to raise the budget."
    )


def _rate_text(limit: Limit) -> str:
    whose = WHOSE[Level(limit.level)].capitalize()
    if limit.window == Window.AT_ONCE:
        return f"{whose} limit of {limit.most:,} concurrent replies is reached."
    return f"{whose} limit of {limit.most:,} {limit.metric} per minute is reached."


@dataclass(frozen=True, slots=True)
class Applying:
    """What applies to a call: the limits, the price in force (None: unknown), and the day it counts in."""

    limits: tuple[Limit, ...]
    rates: Rates | None
    day: date

    def of(self, *metrics: str) -> tuple[Limit, ...]:
        return tuple(limit for limit in self.limits if limit.metric in metrics)

    def cost_bound(self, call: PlannedCall) -> int:
        """The most that the call can cost; PriceUnknown if there is a cost budget but no price."""
        if self.rates is not None:
            return self.rates.bound_of(call.prompt_bound, call.output_bound)
        if self.of(Metric.COST):
            raise PriceUnknown(model=call.model)
        return 0


def find_applying(payer: Payer, call: PlannedCall | None = None, *, now: datetime | None = None) -> Applying:
    """One read of budgets, counters and price.

    Of several rules for a subject, its own takes precedence over the default, and that over the plan's. If
    both an operator and the team have set one, the lower limit applies.
    """
    now = now or timezone.now()
    spans = spans_at(now, payer.time_zone)
    with connection.cursor() as cursor:
        cursor.execute(APPLYING, _parameters(payer, call, spans, now))
        rows = cursor.fetchall()
    rates = Rates(*rows[0][:4]) if rows[0][0] is not None else None
    found = [row[4:] for row in rows if row[4] is not None]
    return Applying(
        limits=tuple(_limits(found, spans, payer.tenant_id)), rates=rates, day=day_at(now, payer.time_zone)
    )


def limits_of(payer: Payer) -> tuple[Limit, ...]:
    """Every budget and limit that applies, with its figures now."""
    return find_applying(payer).limits


def fullest(limits: Iterable[Limit]) -> Limit | None:
    """The budget that is closest to its limit, for places that show only one."""
    budgets = [limit for limit in limits if not limit.is_rate]
    return max(budgets, key=lambda limit: limit.percent_used, default=None)


def _parameters(
    payer: Payer, call: PlannedCall | None, spans: dict[str, Span], now: datetime
) -> dict[str, Any]:
    ids = [EVERYBODY, payer.workspace_id, payer.user_id, payer.api_key_id]
    return {
        "now": now,
        "tenant": payer.tenant_id,
        "workspace": payer.workspace_id,
        "user": payer.user_id,
        "key": payer.api_key_id,
        "targets": [one for one in ids if one is not None],
        "slug": call.model if call else "",
        "provider": call.provider if call else "",
        "upstream": call.upstream_name if call else "",
        "minute": spans[Window.MINUTE].starts_at,
        "day": spans[Window.DAY].starts_at,
        "month": spans[Window.MONTH].starts_at,
        "always": spans[Window.TOTAL].starts_at,
    }


def _limits(rows: Iterable[tuple[Any, ...]], spans: dict[str, Span], tenant_id: UUID) -> list[Limit]:
    """One limit per counter, in a fixed order: tenant, workspace, member, key."""
    best: dict[tuple[Any, ...], dict[str, tuple[tuple[bool, bool], Limit]]] = {}
    for budget_id, of_plan, set_by, level, scope, subject, is_own, metric, window, *figures in rows:
        limit, soft_percent, counter_id, used, reserved, granted = figures
        candidate = Limit(
            budget_id=budget_id,
            level=level,
            scope_id=scope,
            subject_id=subject,
            metric=metric,
            window=window,
            span=spans[window],
            limit=limit,
            soft_limit=None if soft_percent is None else limit * soft_percent // 100,
            counter_id=counter_id,
            used=used or 0,
            reserved=reserved or 0,
            granted=granted or 0,
            in_one_workspace=level == Level.MEMBER and scope != tenant_id,
        )
        rank = (not of_plan, is_own)
        rivals = best.setdefault((level, scope, subject, metric, window), {})
        if set_by not in rivals or rank > rivals[set_by][0]:
            rivals[set_by] = (rank, candidate)
    chosen = [_lower([candidate for _, candidate in rivals.values()]) for rivals in best.values()]
    return sorted(chosen, key=lambda limit: (LEVELS.index(Level(limit.level)), limit.metric, limit.window))


def _lower(rivals: list[Limit]) -> Limit:
    lowest = min(rivals, key=lambda limit: limit.limit)
    soft = [limit.soft_limit for limit in rivals if limit.soft_limit is not None]
    return replace(lowest, soft_limit=min(soft) if soft else None)
