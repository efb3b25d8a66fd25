"""The states of a turn, and every change between them.

    admit_turn ──> RUNNING ─────────────────────────── finish ──> DONE, with a finish_reason
                     │ ▲                                 ▲
                     │ └── taken over: another process   │
                     │     gets the lease                │
                     │                                   │
                     └── request_stop ──> RUNNING, ──────┘
                                          is_stopping

A turn is RUNNING from the transaction that admits it. Only `finish` ends it, under a lock on the row:
called by its runner, or with INTERRUPTED by the process that recovers it. DONE is final. A
conversation has at most one running turn (`one_running_turn_a_conversation`).
"""

from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import models
from django.utils import timezone

from quotas.prices import Usage

if TYPE_CHECKING:
    from gateway.models import Turn  # noqa: F401 - named in a string below


class TurnStatus(models.TextChoices):
    RUNNING = "running"
    DONE = "done"


class FinishReason(models.TextChoices):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    TOOL_LIMIT = "tool_limit"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"
    QUOTA_EXCEEDED = "quota_exceeded"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class TurnQuerySet(models.QuerySet["Turn"]):
    def running(self) -> Self:
        return self.filter(status=TurnStatus.RUNNING)

    def not_stopping(self) -> Self:
        return self.filter(stop_requested_at=None)

    def current(self) -> Self:
        """The turns on the path that is shown and continued, latest first."""
        return self.filter(is_current=True).order_by("-created_at", "-id")

    def ids(self) -> list[UUID]:
        return list(self.values_list("id", flat=True))

    def request_stop(self) -> int:
        """Only the first request counts."""
        return self.running().not_stopping().update(stop_requested_at=timezone.now())

    def write_progress(self, parts: list[dict[str, Any]]) -> int:
        """Stores the reply so far of turns that are still running."""
        return self.running().update(parts=parts)


class TurnStates(models.Model):
    """The columns of a turn's state, and its rules."""

    Status = TurnStatus
    FinishReason = FinishReason

    status = models.CharField(max_length=10, choices=TurnStatus.choices, default=TurnStatus.RUNNING)
    finish_reason = models.CharField(max_length=20, choices=FinishReason.choices, blank=True)
    parts = models.JSONField(default=list, help_text="What the reply is made of so far, in order")
    error = models.JSONField(null=True, help_text="The error shape, where it ended with one")
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0, db_default=0, help_text="Of the input")
    reasoning_tokens = models.BigIntegerField(default=0, db_default=0, help_text="Of the output")
    exactness = models.CharField(max_length=10, blank=True)
    cost = models.BigIntegerField(null=True, help_text="Millionths of the currency; empty: no price is known")
    stop_requested_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def is_running(self) -> bool:
        return self.status == TurnStatus.RUNNING

    @property
    def is_done(self) -> bool:
        return self.status == TurnStatus.DONE

    @property
    def is_stopping(self) -> bool:
        return self.stop_requested_at is not None

    def finish(
        self,
        *,
        parts: list[dict[str, Any]],
        finish_reason: str,
        error: dict[str, Any] | None,
        usage: Usage,
    ) -> None:
        """RUNNING to DONE, with the reply and what it used; the caller holds the row's lock."""
        self.status = TurnStatus.DONE
        self.parts, self.finish_reason, self.error = parts, finish_reason, error
        self.input_tokens, self.output_tokens = usage.input_tokens, usage.output_tokens
        self.cached_tokens, self.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
        self.exactness, self.cost = usage.exactness, usage.cost
        self.finished_at = timezone.now()
        self.save()
