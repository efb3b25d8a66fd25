"""Changes several counters together, all or none, never beyond a limit; the SQL on a turn's path.

Every statement locks counters in the order of their ids, so two statements that share some never deadlock.
The limits are those that the transaction read; the condition is on the counter's own row, so PostgreSQL
checks it again after waiting for another turn's update.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from quotas.limits import Applying, Limit, find_applying
from quotas.models import Budget, BudgetWindow
from quotas.planned_calls import Payer, PlannedCall

# The change of each counter, and its condition; `taken` has those that met it.
TAKING = """
    wanted AS (
        SELECT * FROM unnest(%(ids)s::bigint[], %(reserve)s::bigint[], %(use)s::bigint[],
                             %(limits)s::bigint[], %(soft)s::bigint[])
            AS share(id, reserve, use, most, soft)
    ), due AS (
        SELECT id FROM quotas_budgetwindow WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR UPDATE
    ), taken AS (
        UPDATE quotas_budgetwindow AS counter
        SET reserved = counter.reserved + wanted.reserve, used = counter.used + wanted.use,
            "limit" = wanted.most, alert_at = wanted.soft
        FROM due JOIN wanted USING (id)
        WHERE counter.id = due.id
          AND (wanted.reserve + wanted.use <= 0
               OR counter.used + counter.reserved + wanted.reserve + wanted.use
                  <= wanted.most + counter.granted)
        RETURNING counter.id, counter.used, counter.reserved, counter.granted
    )
"""
TAKE = f"WITH {TAKING} SELECT * FROM taken"  # noqa: S608 - a constant
MINUTES_STORED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Share:
    """A call's or a turn's share of one limit: reserved until it is settled, or used immediately."""

    limit: Limit
    reserve: int = 0
    use: int = 0

    @property
    def counter_id(self) -> int:
        if self.limit.counter_id is None:
            raise ValueError("its counter has not been created")
        return self.limit.counter_id


def limits_with_counters(payer: Payer, call: PlannedCall) -> Applying:
    """What applies to the call, after creating missing counters of the current windows."""
    now = timezone.now()
    applying = find_applying(payer, call, now=now)
    missing = [limit for limit in applying.limits if limit.counter_id is None]
    if not missing:
        return applying
    BudgetWindow.objects.bulk_create([_counter(limit, payer) for limit in missing], ignore_conflicts=True)
    return find_applying(payer, call, now=now)


def _counter(limit: Limit, payer: Payer) -> BudgetWindow:
    return BudgetWindow(
        tenant_id=payer.tenant_id,
        level=limit.level,
        scope_id=limit.scope_id,
        subject_id=limit.subject_id,
        metric=limit.metric,
        window=limit.window,
        starts_at=limit.span.starts_at,
        resets_at=limit.span.resets_at,
    )


def take(shares: Sequence[Share]) -> list[Limit]:
    """Changes all counters, or raises the refusal of one that is exceeded; then the transaction must end.

    Returns the limits with their new figures.
    """
    if not shares:
        return []
    with connection.cursor() as cursor:
        cursor.execute(TAKE, taking_parameters(shares))
        return expect_all(shares, cursor.fetchall())


def lock_counters(counter_ids: Sequence[int]) -> None:
    """Locks counters before several statements that change them, so that all are locked in one order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM quotas_budgetwindow WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE",
            [list(counter_ids)],
        )


def taking_parameters(shares: Sequence[Share]) -> dict[str, Any]:
    return {
        "ids": [share.counter_id for share in shares],
        "reserve": [share.reserve for share in shares],
        "use": [share.use for share in shares],
        "limits": [share.limit.limit for share in shares],
        "soft": [share.limit.soft_limit for share in shares],
    }


def expect_all(shares: Sequence[Share], taken: Sequence[tuple[int, int, int, int]]) -> list[Limit]:
    """The limits after the change, or the refusal of one that was not taken: a budget before a rate."""
    rows = {counter_id: figures for counter_id, *figures in taken}
    missed = [share for share in shares if share.counter_id not in rows]
    if missed:
        first = min(missed, key=lambda share: share.limit.is_rate)
        raise _current(first).refusal(first.reserve + first.use)
    return [_with_figures(share.limit, *rows[share.counter_id]) for share in shares]


def _current(share: Share) -> Limit:
    row = BudgetWindow.objects.get(id=share.counter_id)
    return _with_figures(share.limit, row.used, row.reserved, row.granted)


def _with_figures(limit: Limit, used: int, reserved: int, granted: int) -> Limit:
    return replace(limit, used=used, reserved=reserved, granted=granted)


def delete_minutes() -> int:
    """Deletes counters of past minutes; returns how many."""
    past = BudgetWindow.objects.filter(
        window=Budget.Window.MINUTE, starts_at__lt=timezone.now() - MINUTES_STORED
    )
    return past.delete()[0]
