"""Ends a turn in the database: settles what is open, writes reply and totals, tells the closing events."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.teams.tenants import find_tenant
from gateway.calls.channels import notify_stop
from gateway.calls.token_count import Streamed
from gateway.engines.base import Event
from gateway.engines.registry import outlives_us
from gateway.models import Conversation, Message, Turn
from gateway.turns import journal
from gateway.turns.relay import relayed
from gateway.turns.transcript import Transcript
from kit.errors import TurnInterrupted
from kit.postgresql.outage import outage
from kit.tenancy import TenantRef, in_public, in_tenant
from quotas.limits import fullest
from quotas.prices import Usage
from quotas.reservations import (
    Expired,
    close_turn,
    expired_reservations,
    turn_limits,
    turn_usage,
    write_off_left,
)

log = structlog.get_logger(__name__)
ADOPTION_SECONDS = 60.0  # how long a turn that goes on without us waits to be adopted
Adopt = Callable[[TenantRef, UUID], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended: all that `error`, `usage` and `done` tell."""

    finish_reason: str
    usage: Usage
    quota: dict[str, Any] | None
    error: dict[str, Any] | None = None

    def events(self) -> list[Event]:
        ends = [
            Event("usage", usage_data(self.usage, self.quota)),
            Event("done", {"finish_reason": self.finish_reason}),
        ]
        return [Event("error", {"error": self.error}), *ends] if self.error else ends


def usage_data(usage: Usage, quota: dict[str, Any] | None) -> dict[str, Any]:
    """The `usage` event's data: tokens, the cost in millionths of the currency (None: no price is known), and
    the budget with least left as it stands after the turn."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "cost": usage.cost,
        "exactness": str(usage.exactness),
        "quota": quota,
    }


@transaction.atomic
def end_turn(
    *,
    turn_id: UUID,
    parts: list[dict[str, Any]],
    finish_reason: str,
    error: dict[str, Any] | None,
) -> Ending:
    """Closes reservation and turn together; a turn that was ended already stays as it is."""
    turn = _lock_turn(turn_id)
    close_turn(turn_id=turn_id, shown_tokens=shown_tokens(parts))
    usage = turn_usage(turn_id)
    if turn is None:  # its conversation was deleted meanwhile; the ledger keeps what it cost
        return Ending(finish_reason=finish_reason, usage=usage, quota=None, error=error)
    if turn.status == Turn.Status.RUNNING:
        _write_end(turn, parts=parts, finish_reason=finish_reason, error=error, usage=usage)
    return ending_of(turn, usage)


def shown_tokens(parts: list[dict[str, Any]]) -> int:
    """The least number of output tokens that the parts of a reply can have cost, as an estimate.

    A write-off charges no less: the process that counted the stream may have died with its count.
    """
    seen = Streamed()
    for part in parts:
        if part["type"] in {"text", "reasoning"}:
            seen.add_text(str(part["text"]))
        elif part["type"] == "tool_call":
            seen.add_calls(
                [{"function": {"name": part.get("tool", ""), "arguments": json.dumps(part["arguments"])}}]
            )
    return seen.tokens


def _lock_turn(turn_id: UUID) -> Turn | None:
    """Conversation first, then turn: the order in which a deletion takes them."""
    Conversation.objects.select_for_update().filter(turns=turn_id).first()
    return Turn.objects.select_for_update().filter(id=turn_id).first()


def ending_of(turn: Turn, usage: Usage | None = None) -> Ending:
    """The ending of a finished turn, derived from its row."""
    usage = usage or stored_usage(turn)
    budget = fullest(turn_limits(turn.id))
    return Ending(
        finish_reason=turn.finish_reason,
        usage=usage,
        quota=budget.as_dict() if budget else None,
        error=turn.error,
    )


def stored_usage(turn: Turn) -> Usage:
    return Usage(turn.input_tokens, turn.output_tokens, turn.exactness, cost=turn.cost)


def _write_end(
    turn: Turn, *, parts: list[dict[str, Any]], finish_reason: str, error: dict[str, Any] | None, usage: Usage
) -> None:
    turn.status = Turn.Status.DONE
    turn.parts, turn.finish_reason, turn.error = parts, finish_reason, error
    turn.input_tokens, turn.output_tokens, turn.exactness = (
        usage.input_tokens,
        usage.output_tokens,
        usage.exactness,
    )
    turn.cost = usage.cost
    turn.finished_at = timezone.now()
    turn.save()
    if turn.conversation_id is None:
        return
    if turn.reply:
        Message.objects.create(
            conversation_id=turn.conversation_id, turn=turn, role=Message.Role.ASSISTANT, content=turn.reply
        )
    Conversation.objects.filter(id=turn.conversation_id).update(
        total_tokens=F("total_tokens") + usage.total, last_turn_at=timezone.now()
    )


def write_progress(*, turn_id: UUID, parts: list[dict[str, Any]] | None) -> bool:
    """Stores the reply so far (None: unchanged); False when a stop was asked for or the turn is gone."""
    running = Turn.objects.filter(id=turn_id, status=Turn.Status.RUNNING)
    if parts is not None:
        running.update(parts=parts)
    return running.filter(stop_requested_at=None).exists()


def was_database_away() -> bool:
    """For one lease after this process lost the database and has it again, or the database was started.

    Others may have lost it too, and need that time to renew the leases of what they run.
    """
    if outage.seconds_since() < settings.TURN_LEASE_SECONDS:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp() - pg_postmaster_start_time()")
        runs: timedelta = cursor.fetchone()[0]
    return runs.total_seconds() < settings.TURN_LEASE_SECONDS


async def recover_turns(adopt: Adopt | None = None, *, only_given_up: bool = False) -> int:
    """Ends every turn whose runner has gone, with what it had written; returns how many.

    One that its engine carries on is given to `adopt`, or left for a while to a process that can.
    `only_given_up`: of those whose process said so, not of those whose lease has only run out.
    """
    await in_public(write_off_left)
    expired = await in_public(expired_reservations, only_given_up=only_given_up)
    recovered = 0
    for lost in expired:
        try:
            recovered += await _recover(lost, adopt)
        except Exception:  # one that cannot be ended must not keep the others from it
            log.exception("turn could not be recovered", turn_id=str(lost.turn_id))
    return recovered


async def _recover(lost: Expired, adopt: Adopt | None) -> bool:
    tenant = await in_public(find_tenant, lost.tenant_id)
    if tenant is None:
        return await in_public(close_turn, turn_id=lost.turn_id, only_expired=True)
    if lost.lapsed.total_seconds() < ADOPTION_SECONDS and outlives_us(lost.engine):
        return await adopt(tenant, lost.turn_id) if adopt else False
    shown = longest(journal.recorded(lost.turn_id), await relayed(tenant, lost.turn_id))
    is_recovered = await in_tenant(tenant, recover_turn, turn_id=lost.turn_id, shown=shown)
    if is_recovered:
        journal.forget(lost.turn_id)
    return is_recovered


def longest(*transcripts: Transcript | None) -> Transcript | None:
    """The one that has most of the reply; None where there is none."""
    found = [transcript for transcript in transcripts if transcript is not None]
    return max(found, key=lambda transcript: transcript.position, default=None)


@transaction.atomic
def recover_turn(*, turn_id: UUID, shown: Transcript | None = None) -> bool:
    """Interrupts one turn, unless its runner came back in time; `shown` is what clients may have seen."""
    turn = _lock_turn(turn_id)
    if turn is not None and shown is not None and turn.status == Turn.Status.RUNNING:
        best = longest(shown, Transcript({}, turn.parts))
        turn.parts = best.parts if best else turn.parts
    charged = shown_tokens(turn.parts) if turn is not None else 0
    if not close_turn(turn_id=turn_id, only_expired=True, shown_tokens=charged):
        return False
    notify_stop(turn_id)  # a call of it may still be out
    if turn is not None and turn.status == Turn.Status.RUNNING:
        _write_end(
            turn,
            parts=turn.parts,
            finish_reason=Turn.FinishReason.INTERRUPTED,
            error=TurnInterrupted().as_dict(),
            usage=turn_usage(turn_id),
        )
    return True
