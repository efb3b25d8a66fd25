"""The counters of budgets, the only rows for which turns contend."""

from django.db import models
from django.db.models import F, Q

from quotas.models.rules import Budget


class BudgetWindow(models.Model):
    """One subject's used and reserved amount of one metric in one window, for any number of budgets.

    The subject is the id of a tenant, a workspace, a member or a key. The scope is the tenant, or a workspace
    for a member's usage in that workspace. Without foreign keys, since it outlives its subject.
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    level = models.CharField(max_length=10, choices=Budget.Level.choices)
    scope_id = models.UUIDField()
    subject_id = models.UUIDField()
    metric = models.CharField(max_length=10, choices=Budget.Metric.choices)
    window = models.CharField(max_length=10, choices=Budget.Window.choices)
    starts_at = models.DateTimeField()
    resets_at = models.DateTimeField(null=True)
    used = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    carried = models.BigIntegerField(
        default=0, help_text="Part of `used`: usage from before this counter existed"
    )
    granted = models.BigIntegerField(
        default=0, help_text="Granted by an operator on top of the limit, for this window"
    )
    limit = models.BigIntegerField(null=True, help_text="Of the lowest budget, at the last hold")
    alert_at = models.BigIntegerField(null=True, help_text="The soft limit, at the last hold")
    alerted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "scope_id", "level", "metric", "window", "starts_at"],
                name="one_counter_a_window",
            ),
            models.CheckConstraint(
                condition=Q(used__gte=0, reserved__gte=0, granted__gte=0), name="counters_never_negative"
            ),
            models.CheckConstraint(condition=Q(resets_at__gt=F("starts_at")), name="window_has_length"),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-starts_at", "-id"], name="counter_tenant"),
            models.Index(fields=["-starts_at", "-id"], name="counter_starts"),
            models.Index(fields=["starts_at"], name="counter_minutes", condition=Q(window="minute")),
        ]

    def __str__(self) -> str:
        return f"{self.used} used, {self.reserved} reserved from {self.starts_at:%Y-%m-%d}"
