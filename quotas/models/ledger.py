"""The ledger: one immutable line per model call, and the sums of each day."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class UsageRecord(models.Model):
    """The ledger line of one model call; a correction is another line. A trigger refuses any change."""

    class Exactness(models.TextChoices):
        EXACT = "exact"
        ESTIMATED = "estimated"
        UNREPORTED = "unreported"

    class Flag(models.TextChoices):
        """Why a manager should check the call; empty for most calls."""

        OVERRUN = "overrun", "More than was held"
        IMPLAUSIBLE = "implausible", "The provider's count cannot be true"
        CUT_OFF = "cut_off", "The reply ran far beyond its bound"

    class Purpose(models.TextChoices):
        CHAT = "chat"
        COMPLETION = "completion"
        EMBEDDING = "embedding"
        MODERATION = "moderation"
        TEST = "test"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(auto_now_add=True)
    day = models.DateField(help_text="In the tenant's time zone, as the call was held")
    tenant_id = models.UUIDField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    turn_id = models.UUIDField()
    call_id = models.UUIDField()
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    model = models.CharField(max_length=100)
    model_id = models.UUIDField(
        null=True, help_text="The model with that slug; empty: before ids were stored"
    )
    provider = models.CharField(max_length=40)
    engine = models.CharField(max_length=20)
    counters = ArrayField(
        models.BigIntegerField(), default=list, help_text="Ids of the counters that include it"
    )
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField(default=0, help_text="Of the input, from the provider's cache")
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField(default=0, help_text="Of the output")
    cost = models.BigIntegerField(null=True, help_text="Millionths of the currency; empty: no price is known")
    exactness = models.CharField(max_length=10, choices=Exactness.choices)
    flag = models.CharField(max_length=12, choices=Flag.choices, blank=True, default="", db_default="")
    is_correction = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["call_id"], name="one_settlement_a_call", condition=Q(is_correction=False)
            ),
        ]
        indexes = [
            models.Index(fields=["workspace_id", "day", "id"], name="usage_workspace_day"),
            models.Index(fields=["tenant_id", "day", "id"], name="usage_tenant_day"),
            models.Index(fields=["tenant_id", "user_id", "day", "id"], name="usage_member_day"),
            models.Index(fields=["turn_id"], name="usage_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.input_tokens} in, {self.output_tokens} out"


class UsageDay(models.Model):
    """The sums of a day's ledger lines, updated in the same transaction; pages and charts read them."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    day = models.DateField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    model = models.CharField(max_length=100)
    purpose = models.CharField(max_length=12, choices=UsageRecord.Purpose.choices)
    calls = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    cost = models.BigIntegerField(help_text="Of the calls with a known price")
    unpriced_calls = models.BigIntegerField()
    flagged_calls = models.BigIntegerField(default=0, db_default=0, help_text="Number of calls with a flag")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "day", "workspace_id", "user_id", "api_key_id", "model", "purpose"],
                name="one_sum_a_day",
                nulls_distinct=False,
            ),
        ]
        indexes = [
            models.Index(fields=["workspace_id", "day"], name="day_workspace"),
            models.Index(fields=["tenant_id", "user_id", "day"], name="day_member"),
            models.Index(fields=["api_key_id", "day"], name="day_key", condition=Q(api_key_id__isnull=False)),
            models.Index(fields=["day"], name="day_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}: {self.calls} calls"
