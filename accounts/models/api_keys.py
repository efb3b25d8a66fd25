"""Keys with which programs act for a person or a service account."""

from typing import ClassVar
from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.tenants import Tenant
from accounts.models.workspaces import Workspace


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def unrevoked(self) -> "ApiKeyQuerySet":
        """Expired keys too: pages list them until they are revoked."""
        return self.filter(revoked_at=None)

    def live(self) -> "ApiKeyQuerySet":
        """Keys that work."""
        return self.unrevoked().filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))

    def revoke(self, *, in_recovery: bool = False) -> int:
        return self.update(revoked_at=timezone.now(), revoked_in_recovery=in_recovery)


class ApiKey(models.Model):
    """Has its owner's rights within its scopes, in one workspace or (None) in all of the owner's."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    workspace = models.ForeignKey(Workspace, null=True, on_delete=models.CASCADE, related_name="api_keys")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    membership_id = models.UUIDField(
        editable=False, help_text="The owner's membership. The key stays revoked if they leave and come back."
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=12, unique=True, editable=False, help_text="Shown, and used for the lookup"
    )
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=10))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_in_recovery = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Revoked because its owner's account was recovered by email",
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=["chat", "read", "manage"]) & ~Q(scopes=[]),
                name="api_key_scopes_are_known",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="api_key_tenant"),
            models.Index(fields=["owner", "tenant"], name="api_key_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @property
    def audit_target(self) -> str:
        return f"{self.prefix} {self.name}"
