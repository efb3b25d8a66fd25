"""Proves that counters, holds, daily sums and the ledger agree, in one snapshot, even while turns run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

MOST_SHOWN = 100  # differences of each kind

# Each returns its differences as rows of text.
CHECKS = {
    "the counters' use is the sum of the ledger's lines": """
        SELECT format('counter %%s (%%s of %%s %%s): used %%s, carried %%s, the ledger says %%s',
                      counter.id, counter.metric, counter.level, counter.subject_id,
                      counter.used, counter.carried, coalesce(line.total, 0))
        FROM quotas_budgetwindow AS counter LEFT JOIN (
            SELECT counted.id, counted.metric, sum(CASE counted.metric WHEN 'cost' THEN coalesce(line.cost, 0)
                                               ELSE line.input_tokens + line.output_tokens END) AS total
            FROM quotas_usagerecord AS line CROSS JOIN unnest(line.counters) AS counted_id
            JOIN quotas_budgetwindow AS counted ON counted.id = counted_id
            GROUP BY counted.id, counted.metric
        ) AS line ON line.id = counter.id
        WHERE counter.metric IN ('tokens', 'cost')
          AND counter.used <> counter.carried + coalesce(line.total, 0)
    """,
    "the counters' reservations are those of live calls": """
        SELECT format('counter %%s (%%s of %%s %%s): reserved %%s, live calls hold %%s',
                      counter.id, counter.metric, counter.level, counter.subject_id,
                      counter.reserved, coalesce(held.total, 0))
        FROM quotas_budgetwindow AS counter LEFT JOIN (
            SELECT counted.id, sum(CASE counted.metric WHEN 'cost' THEN hold.cost_bound
                                 ELSE hold.prompt_bound + hold.output_bound END) AS total
            FROM quotas_hold AS hold CROSS JOIN unnest(hold.counters) AS counted_id
            JOIN quotas_budgetwindow AS counted ON counted.id = counted_id
            WHERE hold.state IN ('held', 'sent') GROUP BY counted.id
        ) AS held ON held.id = counter.id
        WHERE counter.metric IN ('tokens', 'cost') AND counter.reserved <> coalesce(held.total, 0)
    """,
    "the concurrent turns are the open ones": """
        SELECT format('counter %%s (turns of %%s %%s): reserved %%s, open turns %%s', counter.id,
                      counter.level, counter.subject_id, counter.reserved, coalesce(turn.total, 0))
        FROM quotas_budgetwindow AS counter LEFT JOIN (
            SELECT counted AS id, count(*) AS total FROM quotas_reservation, unnest(counters) AS counted
            WHERE state = 'open' GROUP BY counted
        ) AS turn ON turn.id = counter.id
        WHERE counter.metric = 'turns' AND counter.reserved <> coalesce(turn.total, 0)
    """,
    "each day's sum is that of its lines": """
        SELECT format('day %%s of workspace %%s, member %%s, %%s, %%s: sums %%s, lines %%s', day,
                      workspace_id, user_id, model, purpose, total.sums, line.sums)
        FROM (
            SELECT tenant_id, day, workspace_id, user_id, coalesce(api_key_id::text, '') AS key,
                   model, purpose, ARRAY[calls, input_tokens, cached_tokens, output_tokens,
                         reasoning_tokens, cost, unpriced_calls, flagged_calls]::numeric[] AS sums
            FROM quotas_usageday
        ) AS total FULL JOIN (
            SELECT tenant_id, day, workspace_id, user_id, coalesce(api_key_id::text, '') AS key,
                   model, purpose, ARRAY[count(*) FILTER (WHERE NOT is_correction), sum(input_tokens),
                         sum(cached_tokens), sum(output_tokens),
                         sum(reasoning_tokens), coalesce(sum(cost), 0),
                         count(*) FILTER (WHERE NOT is_correction AND cost IS NULL),
                         count(DISTINCT call_id) FILTER (WHERE flag <> '')]::numeric[] AS sums
            FROM quotas_usagerecord
            GROUP BY tenant_id, day, workspace_id, user_id, api_key_id, model, purpose
        ) AS line USING (tenant_id, day, workspace_id, user_id, key, model, purpose)
        WHERE total.sums IS DISTINCT FROM line.sums
    """,
    "each ended call has one settlement": """
        SELECT format('call %%s is %%s and has %%s settlements', hold.call_id, hold.state, count(line.id))
        FROM quotas_hold AS hold
        LEFT JOIN quotas_usagerecord AS line ON line.call_id = hold.call_id AND NOT line.is_correction
        WHERE hold.call_id IS NOT NULL
        GROUP BY hold.call_id, hold.state
        HAVING count(line.id) <> CASE WHEN hold.state IN ('settled', 'written_off') THEN 1 ELSE 0 END
    """,
    "closed turns have no live calls, except replies that are read on": """
        SELECT format('call %%s of turn %%s is %%s, and the turn is closed',
                      hold.call_id, turn.id, hold.state)
        FROM quotas_hold AS hold JOIN quotas_reservation AS turn ON turn.id = hold.reservation_id
        WHERE hold.state IN ('held', 'sent') AND turn.state = 'closed'
          AND coalesce(hold.read_on_until, '-infinity') < now() - interval '5 minutes'
    """,
}
SIZES = """
    SELECT (SELECT count(*) FROM quotas_usagerecord), (SELECT count(*) FROM quotas_budgetwindow),
           (SELECT count(*) FROM quotas_hold WHERE state IN ('held', 'sent'))
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """The number of checked rows, and each difference as a text."""

    lines: int
    counters: int
    live_calls: int
    differences: list[str]


def check_ledger() -> Proof:
    """Checks everything in one snapshot; blocks no one, but reads the whole ledger."""
    with _snapshot(), connection.cursor() as cursor:
        cursor.execute(SIZES)
        lines, counters, live_calls = cursor.fetchone()
        return Proof(lines, counters, live_calls, list(_differences()))


def _differences() -> Iterator[str]:
    with connection.cursor() as cursor:
        for check in CHECKS.values():
            cursor.execute(f"{check} LIMIT %s", [MOST_SHOWN])
            yield from (text for (text,) in cursor.fetchall())


@contextmanager
def _snapshot() -> Iterator[None]:
    with transaction.atomic():
        if not connection.savepoint_ids:  # inside a test's transaction it is too late
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
