"""Ends holds: what was used is written to the ledger, the counters and the day's sums in one statement.

Locks are taken in one order everywhere: reservation, hold, counters by their ids, the day's sum.
"""

from typing import Any
from uuid import UUID

from django.db import connection

from quotas.alerts import tell_crossed
from quotas.models import Hold, UsageRecord
from quotas.prices import Usage

State = Hold.State

# After a write-off its line stands, and a second one brings the sum to the truth. Cost is rounded up once.
# Without an estimate of the prompt, `least` is its bound.
SETTLE = """
    WITH hold AS (
        SELECT * FROM quotas_hold WHERE call_id = %(call)s AND state = ANY(%(before)s) FOR UPDATE
    ), counted AS (
        SELECT hold.*, state IN ('held', 'sent') AS is_live,
               coalesce(%(input)s::bigint, least(prompt_estimate, prompt_bound)) AS read,
               %(cached)s::bigint AS cached,
               coalesce(%(output)s::bigint, streamed_tokens) AS written, %(reasoning)s::bigint AS reasoned
        FROM hold
    ), priced AS (
        SELECT *, ceil(((read - cached)::numeric * input_price + cached::numeric * cached_input_price
                        + (written - reasoned)::numeric * output_price
                        + reasoned::numeric * reasoning_price) / 1000000)::bigint AS cost
        FROM counted
    ), bill AS (
        SELECT priced.*, turn.tenant_id, turn.workspace_id, turn.user_id, turn.api_key_id, turn.purpose,
               turn.engine, earlier.id IS NOT NULL AS is_correction,
               coalesce(earlier.flag, '') <> '' AS is_flagged_already,
               read - coalesce(earlier.input_tokens, 0) AS more_input,
               cached - coalesce(earlier.cached_tokens, 0) AS more_cached,
               written - coalesce(earlier.output_tokens, 0) AS more_output,
               reasoned - coalesce(earlier.reasoning_tokens, 0) AS more_reasoning,
               priced.cost - coalesce(earlier.cost, 0) AS more_cost,
               read + written > prompt_bound + output_bound
               OR coalesce(priced.cost, 0) > cost_bound OR %(flag)s = 'overrun' AS is_overrun
        FROM priced
        JOIN quotas_reservation AS turn ON turn.id = priced.reservation_id
        LEFT JOIN quotas_usagerecord AS earlier
            ON earlier.call_id = priced.call_id AND NOT earlier.is_correction
    ), flagged AS (
        SELECT bill.*, CASE WHEN %(flag)s <> '' THEN %(flag)s
                            WHEN is_overrun THEN 'overrun' ELSE '' END AS flag
        FROM bill
    ), ended AS (
        UPDATE quotas_hold AS hold SET state = %(after)s, ended_at = now(), overrun = bill.is_overrun
        FROM bill WHERE hold.id = bill.id
    ), due AS (
        SELECT id FROM quotas_budgetwindow
        WHERE id = ANY((SELECT counters FROM bill)::bigint[]) ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE quotas_budgetwindow AS counter SET
            used = counter.used + CASE counter.metric WHEN 'cost' THEN coalesce(bill.more_cost, 0)
                                                      ELSE bill.more_input + bill.more_output END,
            reserved = counter.reserved - CASE WHEN NOT bill.is_live THEN 0
                                               WHEN counter.metric = 'cost' THEN bill.cost_bound
                                               ELSE bill.prompt_bound + bill.output_bound END
        FROM due, bill WHERE counter.id = due.id
        RETURNING counter.id, counter.used >= counter.alert_at AND counter.alerted_at IS NULL AS is_crossed
    ), line AS (
        INSERT INTO quotas_usagerecord (
            at, day, tenant_id, workspace_id, user_id, api_key_id, turn_id, call_id, purpose, model, model_id,
            provider, engine, counters, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost,
            exactness, flag, is_correction)
        SELECT clock_timestamp(), day, tenant_id, workspace_id, user_id, api_key_id, reservation_id, call_id,
               purpose, model, model_id, provider, engine, counters, more_input, more_cached, more_output,
               more_reasoning, more_cost, %(exactness)s, flag, is_correction
        FROM flagged
    ), summed AS (
        INSERT INTO quotas_usageday AS total (
            tenant_id, day, workspace_id, user_id, api_key_id, model, purpose, calls, input_tokens,
            cached_tokens, output_tokens, reasoning_tokens, cost, unpriced_calls, flagged_calls)
        SELECT tenant_id, day, workspace_id, user_id, api_key_id, model, purpose,
               CASE WHEN is_correction THEN 0 ELSE 1 END, more_input, more_cached, more_output,
               more_reasoning, coalesce(more_cost, 0),
               CASE WHEN is_correction OR cost IS NOT NULL THEN 0 ELSE 1 END,
               CASE WHEN flag = '' OR is_flagged_already THEN 0 ELSE 1 END
        FROM flagged
        ON CONFLICT ON CONSTRAINT one_sum_a_day DO UPDATE SET
            calls = total.calls + excluded.calls,
            input_tokens = total.input_tokens + excluded.input_tokens,
            cached_tokens = total.cached_tokens + excluded.cached_tokens,
            output_tokens = total.output_tokens + excluded.output_tokens,
            reasoning_tokens = total.reasoning_tokens + excluded.reasoning_tokens,
            cost = total.cost + excluded.cost,
            unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
            flagged_calls = total.flagged_calls + excluded.flagged_calls
    )
    SELECT array_agg(id) FILTER (WHERE is_crossed) FROM moved
"""

RELEASE = """
    WITH bill AS (
        UPDATE quotas_hold SET state = 'released', ended_at = now()
        WHERE id = (SELECT id FROM quotas_hold WHERE {which} AND state = ANY(%(before)s) FOR UPDATE)
        RETURNING *
    ), due AS (
        SELECT id FROM quotas_budgetwindow
        WHERE id = ANY((SELECT counters FROM bill)::bigint[]) ORDER BY id FOR UPDATE
    )
    UPDATE quotas_budgetwindow AS counter
    SET reserved = counter.reserved - CASE counter.metric WHEN 'cost' THEN bill.cost_bound
                                                          ELSE bill.prompt_bound + bill.output_bound END
    FROM due, bill WHERE counter.id = due.id
"""


def settle_call(*, call_id: UUID, usage: Usage) -> None:
    """Turns the hold into use and writes the ledger line; never fails over money.

    The line keeps the usage's flag; without one, an excess over what was held is flagged `overrun`. After a
    write-off the difference is posted as a correction; a second settlement changes nothing.
    """
    usage = usage.bounded()
    _end(
        call_id,
        before=[State.HELD, State.SENT, State.WRITTEN_OFF],
        after=State.SETTLED,
        input=usage.input_tokens,
        output=usage.output_tokens,
        cached=usage.cached_tokens,
        reasoning=usage.reasoning_tokens,
        exactness=str(usage.exactness),
        flag=str(usage.flag),
    )


def write_off(*, call_id: UUID) -> None:
    """Ends a call that was sent and never settled: charges its prompt's estimate and what streamed."""
    exactness = UsageRecord.Exactness.ESTIMATED
    unknown: dict[str, Any] = {"input": None, "output": None, "cached": 0, "reasoning": 0, "flag": ""}
    _end(call_id, before=[State.SENT], after=State.WRITTEN_OFF, exactness=exactness, **unknown)


def _end(call_id: UUID, *, before: list[State], after: State, **counted: Any) -> None:
    states: dict[str, Any] = {"before": [str(state) for state in before], "after": str(after)}
    with connection.cursor() as cursor:
        cursor.execute(SETTLE, {"call": call_id, **states, **counted})
        (crossed,) = cursor.fetchone()
    if crossed:
        tell_crossed(crossed)


def release_call(*, call_id: UUID) -> None:
    """Gives a hold back whose call was never sent, or which the provider certainly did no work for."""
    _release("call_id = %(id)s", call_id, [State.HELD, State.SENT])


def end_hold(hold: Hold) -> None:
    """Ends a locked hold without the provider's word: held → released, sent → written off."""
    if hold.state == State.HELD:
        _release("id = %(id)s", hold.id, [State.HELD])
    elif hold.call_id is not None:
        write_off(call_id=hold.call_id)


def _release(which: str, row_id: UUID, before: list[State]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            RELEASE.format(which=which), {"id": row_id, "before": [str(state) for state in before]}
        )
