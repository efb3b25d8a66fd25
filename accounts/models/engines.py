"""Accounts at an engine, which people's turns run as, and checks of an engine."""

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models.tenants import Tenant

ADDRESS_DOMAIN = "engine.switchyard.invalid"  # reserved by RFC 2606: no mail is ever sent there


class EngineAccount(models.Model):
    """Committed with its password before it is registered at the engine, so a race or crash converges.

    The one without tenant and user is the operator's: the first account of a LibreChat becomes its admin.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    engine = models.CharField(max_length=20)
    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.CASCADE, related_name="engine_accounts", editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="engine_accounts",
        editable=False,
    )
    sealed_password = models.TextField(editable=False)
    engine_user_id = models.CharField(
        max_length=100, blank=True, help_text="The engine's own id; empty until it is registered"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["engine", "tenant", "user"], name="one_engine_account_a_member"),
            models.UniqueConstraint(
                fields=["engine"], name="one_operators_engine_account", condition=Q(tenant=None, user=None)
            ),
            models.CheckConstraint(
                condition=Q(tenant=None, user=None) | Q(tenant__isnull=False, user__isnull=False),
                name="engine_account_is_a_members_or_the_operators",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def address(self) -> str:
        """Its email at the engine, made of its own id, so that no one can guess or inherit it."""
        return f"{self.id.hex}@{ADDRESS_DOMAIN}"


class EngineCheck(models.Model):
    """A turn that only checks the engine, without tenant and budget; the egress answers it itself.

    Its id is the reply's id at the engine, as for any turn.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    engine = models.CharField(max_length=20)
    conversation_id = models.UUIDField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(null=True, blank=True, help_text="When its first model call arrived")
    arrived = models.JSONField(default=list, help_text="Names of that call's headers that were correct")
    calls = models.PositiveSmallIntegerField(default=0)
    may_end = models.BooleanField(default=False, help_text="The reply no longer needs to stay open")

    def __str__(self) -> str:
        return str(self.id)
