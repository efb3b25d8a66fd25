"""How a turn on LibreChat ended: by LibreChat's own conclusion, and by what our egress saw of its calls.

LibreChat reports a provider's failure as a text inside a reply that looks finished. The egress made the call
and stored the actual error.
"""

import re
from typing import Any
from uuid import UUID

import structlog

from gateway.engines.base import TurnJob
from gateway.engines.librechat.error_text import plain_words
from gateway.engines.librechat.stream_parser import Failure
from gateway.errors import ContextTooLong, EngineFailed
from gateway.models import Turn
from gateway.providers.base import Finish
from kit.errors import DomainError, restore
from kit.tenancy import in_public, in_tenant
from quotas.reservations import turn_usage

log = structlog.get_logger(__name__)
STATUS = re.compile(r"request: ([45]\d\d)\b")
# LibreChat's texts for a message that does not fit into the window; no model was called.
TOO_LONG = re.compile(r"empty_messages|input_length|fit in the context window|context window", re.IGNORECASE)
REASON_BY_EGRESS = {"length": "length", "content_filter": "content_filter", "tool_calls": "tool_limit"}


async def outcome_of(job: TurnJob, end: Finish | Failure, usage: list[int]) -> Finish:
    """The finish reason, or the error raised; `usage` is LibreChat's own count, in and out."""
    seen = await in_tenant(job.tenant, last_call, turn_id=job.turn_id) or {}
    if isinstance(end, Failure):
        log.warning("LibreChat ended a turn badly", turn_id=str(job.turn_id), said=end.text[:300])
        raise error_of(end, seen, context_window=job.model.context_window)
    await _compare(job, usage)
    return Finish(REASON_BY_EGRESS.get(str(seen.get("finish_reason")), end.reason))


def error_of(end: Failure, seen: dict[str, Any], *, context_window: int) -> DomainError:
    """The error of the egress before LibreChat's: only the egress calls providers, and it stored each end.

    Without an error of the egress, LibreChat itself failed or called no model.
    """
    if seen.get("error"):
        return restore(seen["error"])
    if TOO_LONG.search(end.text):
        return ContextTooLong(context_window=context_window)
    said = plain_words(end.text)
    if not said:
        return EngineFailed()
    return EngineFailed(f"LibreChat could not run the turn. It says: {said}", engine_said=said)


def status_in(text: str) -> int | None:
    """The HTTP status in LibreChat's text about a failed call, if it names one."""
    status = STATUS.search(text)
    return int(status[1]) if status else None


def last_call(*, turn_id: UUID) -> dict[str, Any] | None:
    return Turn.objects.filter(id=turn_id).values_list("last_call", flat=True).first()


async def _compare(job: TurnJob, usage: list[int]) -> None:
    """Logs a difference from the ledger: a call bypassed the egress, or its count was lost."""
    if not any(usage):
        return
    ours = await in_public(turn_usage, job.turn_id)
    if usage != [ours.input_tokens, ours.output_tokens]:
        log.warning(
            "LibreChat reports different usage from the ledger", turn_id=str(job.turn_id), theirs=usage
        )
