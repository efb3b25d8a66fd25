"""Creates the counters of a new budget from the usage in its window before it was set."""

from datetime import date
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import Tenant
from quotas.models import Budget
from quotas.windows import ALWAYS, Span, day_at, spans_at

Level, Metric, Window = Budget.Level, Budget.Metric, Budget.Window

# The column of the daily sums for each level.
SUBJECTS = {
    Level.TENANT: "tenant_id",
    Level.WORKSPACE: "workspace_id",
    Level.MEMBER: "user_id",
    Level.API_KEY: "api_key_id",
}
AMOUNTS = {Metric.TOKENS: "sum(input_tokens + output_tokens)", Metric.COST: "sum(cost)"}

# Locked first: a call that settles meanwhile is in the sums that are read next, or waits and is added.
LOCK = """
    SELECT id FROM quotas_budgetwindow
    WHERE tenant_id = %(tenant)s AND level = %(level)s AND metric = %(metric)s AND "window" = %(window)s
      AND starts_at = %(starts_at)s
    ORDER BY id FOR UPDATE
"""
SEED = """
    INSERT INTO quotas_budgetwindow AS counter (
        tenant_id, level, scope_id, subject_id, metric, "window", starts_at, resets_at,
        used, reserved, carried, granted)
    SELECT %(tenant)s, %(level)s, %(scope)s, {subject}, %(metric)s, %(window)s, %(starts_at)s, %(resets_at)s,
           {amount}, 0, {amount}, 0
    FROM quotas_usageday
    WHERE tenant_id = %(tenant)s AND day >= %(day)s AND {subject} IS NOT NULL
      AND (%(workspace)s::uuid IS NULL OR workspace_id = %(workspace)s)
      AND (%(member)s::uuid IS NULL OR user_id = %(member)s)
      AND (%(key)s::uuid IS NULL OR api_key_id = %(key)s)
    GROUP BY {subject}
    ON CONFLICT ON CONSTRAINT one_counter_a_window DO UPDATE SET
        used = excluded.used, carried = counter.carried + excluded.used - counter.used
"""


def seed_counters(tenant: Tenant, budget: Budget) -> None:
    """What was used in the running window counts against the budget too; in the caller's transaction.

    A call that is under way as the budget comes is counted by the next one.
    """
    if budget.metric not in AMOUNTS or budget.window == Window.MINUTE:
        return
    span = spans_at(timezone.now(), tenant.time_zone)[budget.window]
    in_workspace = budget.level == Level.MEMBER and budget.workspace_id is not None
    parameters: dict[str, Any] = {
        "tenant": tenant.id,
        "level": budget.level,
        "metric": budget.metric,
        "window": budget.window,
        "scope": budget.workspace_id if in_workspace else tenant.id,
        "starts_at": span.starts_at,
        "resets_at": span.resets_at,
        "day": _first_day(span, tenant),
        "workspace": budget.workspace_id,
        "member": budget.member_id,
        "key": budget.api_key_id,
    }
    seed = SEED.format(subject=SUBJECTS[Level(budget.level)], amount=AMOUNTS[Metric(budget.metric)])
    with connection.cursor() as cursor:
        cursor.execute(LOCK, parameters)
        cursor.execute(seed, parameters)


def seed_all(tenant: Tenant) -> None:
    """Backfills every budget of the tenant, after a change of plan or time zone."""
    plan = getattr(tenant, "plan_given", None)
    for budget in Budget.objects.filter(tenant=tenant):
        seed_counters(tenant, budget)
    for budget in Budget.objects.filter(plan=plan.plan_id) if plan else ():
        seed_counters(tenant, budget)


def _first_day(span: Span, tenant: Tenant) -> date:
    return date.min if span.starts_at == ALWAYS else day_at(span.starts_at, tenant.time_zone)
