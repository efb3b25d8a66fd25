"""Refusals that repeat within a minute, counted until the audit gets them as one entry."""

from django.db import models


class Refusal(models.Model):
    """One person's refusals of one kind in one minute; the first already has an entry of its own."""

    key = models.CharField(max_length=64, help_text="Digest of tenant, person, action and code")
    minute = models.DateTimeField(help_text="When it began")
    repeats = models.PositiveIntegerField(default=0, help_text="Beyond the first")
    entry = models.JSONField(help_text="What the first one's audit entry says")
    workspace_id = models.UUIDField(null=True, help_text="Empty once they were in several")
    target = models.CharField(max_length=200, blank=True, help_text="Empty once they had several")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "minute"], name="one_refusal_count_a_minute")]
        indexes = [models.Index(fields=["minute"], name="refusal_minute")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.repeats}"
