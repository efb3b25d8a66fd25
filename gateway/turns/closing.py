"""Ends a turn in the database: settles open holds, writes reply and totals, returns the closing events."""

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
from gateway.conversations.reply_extras import extras_in
from gateway.engines.registry import outlives_process
from gateway.models import Conversation, Image, Message, Turn
from gateway.turns import journal
from gateway.turns.event_json import reply_events
from gateway.turns.events import ClosingEvent, Done, Failed, UsageTotal
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
TAKEOVER_SECONDS = 60.0  # how long a turn that its engine continues waits for another process
TakeOver = Callable[[TenantRef, UUID], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended."""

    finish_reason: str
    usage: Usage
    quota: dict[str, Any] | None
    error: dict[str, Any] | None = None

    def events(self) -> list[ClosingEvent]:
        last: list[ClosingEvent] = [UsageTotal(self.usage, self.quota), Done(self.finish_reason)]
        return [Failed(self.error), *last] if self.error else last


@transaction.atomic
def end_turn(
    *,
    turn_id: UUID,
    parts: list[dict[str, Any]],
    finish_reason: str,
    error: dict[str, Any] | None,
) -> Ending:
    """Closes reservation and turn in one transaction; a turn that has ended already stays unchanged."""
    turn = _lock_turn(turn_id)
    close_turn(turn_id=turn_id, shown_tokens=shown_tokens(parts))
    usage = turn_usage(turn_id)
    if turn is None:  # its conversation was deleted meanwhile; the ledger has the cost
        return Ending(finish_reason=finish_reason, usage=usage, quota=None, error=error)
    if turn.is_running:
        _write_end(turn, parts=parts, finish_reason=finish_reason, error=error, usage=usage)
    return ending_of(turn, usage)


def shown_tokens(parts: list[dict[str, Any]]) -> int:
    """An estimate of the fewest output tokens that the parts of a reply can have cost.

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
    """Conversation first, then turn: the order in which a deletion locks them."""
    Conversation.objects.select_for_update().filter(turns=turn_id).first()
    return Turn.objects.select_for_update().filter(id=turn_id).first()


def ending_of(turn: Turn, usage: Usage | None = None) -> Ending:
    """The ending of a finished turn, derived from its row."""
    usage = usage or turn_usage(turn.id)
    budget = fullest(turn_limits(turn.id))
    return Ending(
        finish_reason=turn.finish_reason,
        usage=usage,
        quota=budget.as_dict() if budget else None,
        error=turn.error,
    )


def stored_usage(turn: Turn) -> Usage:
    """The turn's totals as its row has them, without its calls."""
    return Usage(
        turn.input_tokens,
        turn.output_tokens,
        turn.exactness,
        cached_tokens=turn.cached_tokens,
        reasoning_tokens=turn.reasoning_tokens,
        cost=turn.cost,
    )


def _write_end(
    turn: Turn, *, parts: list[dict[str, Any]], finish_reason: str, error: dict[str, Any] | None, usage: Usage
) -> None:
    turn.finish(parts=parts, finish_reason=finish_reason, error=error, usage=usage)
    if turn.conversation_id is None:
        return
    _write_message(turn)
    Conversation.objects.filter(id=turn.conversation_id).update(
        total_tokens=F("total_tokens") + usage.total, last_turn_at=timezone.now()
    )


def _write_message(turn: Turn) -> None:
    """A reply without text may consist of images or sources."""
    extras = extras_in(turn.parts)
    if turn.conversation_id is None or not (turn.reply or extras):
        return
    # A provider may send any id.
    rows = Image.objects.filter(conversation=turn.conversation_id, id__in=extras.image_ids)
    own = set(rows.values_list("id", flat=True)) if extras.image_ids else set()
    Message.objects.create(
        conversation_id=turn.conversation_id,
        turn=turn,
        role=Message.Role.ASSISTANT,
        content=turn.reply,
        image_ids=[image_id for image_id in extras.image_ids if image_id in own],
        sources=list(extras.sources),
        image_urls=list(extras.image_urls),
    )


def write_progress(*, turn_id: UUID, parts: list[dict[str, Any]] | None) -> bool:
    """Stores the reply so far (None: unchanged); False if a stop was requested or the turn is gone."""
    turn = Turn.objects.filter(id=turn_id)
    if parts is not None:
        turn.write_progress(parts)
    return turn.running().not_stopping().exists()


def was_database_away() -> bool:
    """Whether the database was lost or restarted within the last lease.

    Other processes may have lost it too, and need that time to renew the leases of their turns.
    """
    if outage.seconds_since() < settings.TURN_LEASE_SECONDS:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp() - pg_postmaster_start_time()")
        runs: timedelta = cursor.fetchone()[0]
    return runs.total_seconds() < settings.TURN_LEASE_SECONDS


async def recover_turns(take_over: TakeOver | None = None, *, only_given_up: bool = False) -> int:
    """Ends every turn whose process is gone, with the reply so far; returns how many.

    A turn that its engine continues is passed to `take_over`, or left for a while to a process that can.
    `only_given_up`: only turns whose process gave them up, not those whose lease has merely expired.
    """
    await in_public(write_off_left)
    expired = await in_public(expired_reservations, only_given_up=only_given_up)
    recovered = 0
    for lost in expired:
        try:
            recovered += await _recover(lost, take_over)
        except Exception:  # one failure must not prevent the recovery of the others
            log.exception("turn could not be recovered", turn_id=str(lost.turn_id))
    return recovered


async def _recover(lost: Expired, take_over: TakeOver | None) -> bool:
    tenant = await in_public(find_tenant, lost.tenant_id)
    if tenant is None:
        return await in_public(close_turn, turn_id=lost.turn_id, only_expired=True)
    if lost.lapsed.total_seconds() < TAKEOVER_SECONDS and outlives_process(lost.engine):
        return await take_over(tenant, lost.turn_id) if take_over else False
    shown = longest(journal.recorded(lost.turn_id), await relayed(tenant, lost.turn_id))
    is_recovered = await in_tenant(tenant, recover_turn, turn_id=lost.turn_id, shown=shown)
    if is_recovered:
        journal.forget(lost.turn_id)
    return is_recovered


def longest(*transcripts: Transcript | None) -> Transcript | None:
    """The one with the longest reply; None if there is none."""
    found = [transcript for transcript in transcripts if transcript is not None]
    return max(found, key=lambda transcript: transcript.position, default=None)


@transaction.atomic
def recover_turn(*, turn_id: UUID, shown: Transcript | None = None) -> bool:
    """Interrupts one turn, unless its lease was renewed in time; `shown`: what clients may have seen."""
    turn = _lock_turn(turn_id)
    if turn is not None and shown is not None and turn.is_running:
        best = longest(shown, Transcript(events=reply_events(turn.parts)))
        turn.parts = best.parts if best else turn.parts
    charged = shown_tokens(turn.parts) if turn is not None else 0
    if not close_turn(turn_id=turn_id, only_expired=True, shown_tokens=charged):
        return False
    notify_stop(turn_id)  # one of its calls may still be running
    if turn is not None and turn.is_running:
        _write_end(
            turn,
            parts=turn.parts,
            finish_reason=Turn.FinishReason.INTERRUPTED,
            error=TurnInterrupted().as_dict(),
            usage=turn_usage(turn_id),
        )
    return True
