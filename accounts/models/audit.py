"""The audit of accounts and access: who did what, and from where; rows are only ever added."""

from typing import ClassVar
from uuid import uuid4

from django.conf import settings
from django.db import models

from accounts.models.tenants import Tenant
from accounts.models.workspaces import Workspace


class AuditEntry(models.Model):
    """A trigger refuses UPDATE and DELETE, so its ids outlive the rows that they refer to."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    workspace = models.ForeignKey(
        Workspace, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor_email = models.CharField(max_length=254, blank=True, help_text="At the time of the action")
    via = models.CharField(max_length=20, blank=True, help_text="web, api, key, admin or command")
    api_key = models.CharField(max_length=12, blank=True, help_text="The prefix of the key that acted")
    action = models.CharField(max_length=60, help_text="What was done, as in user.signed_in")
    target = models.CharField(max_length=200, blank=True, help_text="Target of the action")
    changes = models.JSONField(default=dict, help_text="{field: [before, after]}; secrets are masked")
    details = models.JSONField(default=dict, help_text="Never contains secrets")
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(
        default=1,
        db_default=1,
        help_text="Repeated refusals are one entry per minute, with their count",
    )

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar[list[str]] = ["-at", "-id"]
        indexes = [
            models.Index(fields=["tenant", "-at", "-id"], name="audit_tenant"),
            models.Index(fields=["tenant", "action", "-at", "-id"], name="audit_tenant_action"),
            models.Index(fields=["tenant", "actor_email", "-at", "-id"], name="audit_tenant_actor"),
            models.Index(fields=["workspace", "-at", "-id"], name="audit_workspace"),
            models.Index(fields=["action", "-at"], name="audit_action"),
            models.Index(fields=["-at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action}"
