"""Budgets and their counters, what turns reserve and calls hold, and the ledger; all in the public schema."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import F, Q

from accounts.models import Tenant, Workspace


class Budget(models.Model):
    """The rule: at most `limit` of a metric within a window."""

    class Level(models.TextChoices):
        WORKSPACE = "workspace"

    class Metric(models.TextChoices):
        TOKENS = "tokens"

    class Window(models.TextChoices):
        MONTH = "month"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="budgets")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="budgets")
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.WORKSPACE)
    metric = models.CharField(max_length=10, choices=Metric.choices, default=Metric.TOKENS)
    window = models.CharField(max_length=10, choices=Window.choices, default=Window.MONTH)
    limit = models.BigIntegerField(help_text="Tokens in a calendar month, UTC")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "level", "metric", "window"], name="one_budget_a_rule"
            ),
            models.CheckConstraint(
                condition=Q(limit__gte=0, limit__lte=10**15), name="budget_limit_makes_sense"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="budget_created")]

    def __str__(self) -> str:
        return f"{self.limit} {self.metric} a {self.window}"


class BudgetWindow(models.Model):
    """A budget's counters for one window; the only rows that turns contend for."""

    id = models.BigAutoField(primary_key=True)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="windows")
    starts_at = models.DateTimeField()
    resets_at = models.DateTimeField()
    used = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="one_counter_a_window"),
            models.CheckConstraint(condition=Q(used__gte=0, reserved__gte=0), name="counters_never_negative"),
            models.CheckConstraint(condition=Q(resets_at__gt=F("starts_at")), name="window_has_length"),
        ]

    def __str__(self) -> str:
        return f"{self.used} used, {self.reserved} reserved from {self.starts_at:%Y-%m-%d}"


class Reservation(models.Model):
    """A turn's admission; its id is the turn's. While it is open, its lease says that somebody runs it."""

    class State(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True)
    tenant_id = models.UUIDField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    purpose = models.CharField(max_length=12)
    engine = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    lease_expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["lease_expires_at"], name="reservation_open_lease", condition=Q(state="open")
            ),
            models.Index(fields=["workspace_id", "-created_at"], name="reservation_workspace"),
            models.Index(fields=["-created_at"], name="reservation_created"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.state}"


class Hold(models.Model):
    """One model call's share of a reservation: held → sent → settled | released | written_off."""

    class State(models.TextChoices):
        HELD = "held"
        SENT = "sent"
        SETTLED = "settled"
        RELEASED = "released"
        WRITTEN_OFF = "written_off"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="holds")
    # Empty until the turn's first call adopts the hold that admission took.
    call_id = models.UUIDField(null=True, unique=True)
    window = models.ForeignKey(BudgetWindow, null=True, on_delete=models.SET_NULL, related_name="holds")
    model = models.CharField(max_length=100)
    provider = models.CharField(max_length=40)
    state = models.CharField(max_length=12, choices=State.choices, default=State.HELD)
    prompt_bound = models.BigIntegerField()
    output_bound = models.BigIntegerField()
    streamed_tokens = models.BigIntegerField(default=0)
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Of the request, to know a repeat by")
    overrun = models.BooleanField(default=False, help_text="The provider billed more than was held")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reservation"], name="one_unadopted_hold", condition=Q(call_id=None, state="held")
            ),
            models.CheckConstraint(
                condition=Q(prompt_bound__gte=0, output_bound__gte=0, streamed_tokens__gte=0),
                name="hold_bounds_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.state}"

    @property
    def amount(self) -> int:
        """What the hold reserves, in tokens."""
        return self.prompt_bound + self.output_bound


class UsageRecord(models.Model):
    """The ledger line of one model call; corrections are lines of their own. Nothing here is changed."""

    class Exactness(models.TextChoices):
        EXACT = "exact"
        ESTIMATED = "estimated"
        UNREPORTED = "unreported"

    class Purpose(models.TextChoices):
        CHAT = "chat"
        COMPLETION = "completion"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(auto_now_add=True)
    tenant_id = models.UUIDField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    turn_id = models.UUIDField()
    call_id = models.UUIDField()
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    model = models.CharField(max_length=100)
    provider = models.CharField(max_length=40)
    engine = models.CharField(max_length=20)
    window = models.ForeignKey(BudgetWindow, null=True, on_delete=models.SET_NULL, related_name="records")
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    exactness = models.CharField(max_length=10, choices=Exactness.choices)
    is_correction = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["call_id"], name="one_settlement_a_call", condition=Q(is_correction=False)
            ),
        ]
        indexes = [
            models.Index(fields=["workspace_id", "-at"], name="usage_workspace"),
            models.Index(fields=["turn_id"], name="usage_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.input_tokens} in, {self.output_tokens} out"
