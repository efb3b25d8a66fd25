"""People who have left a tenant, until their private content is deleted."""

from uuid import uuid4

from django.conf import settings
from django.db import models

from accounts.models.tenants import Tenant


class Departure(models.Model):
    """Private content of a person who left is deleted at `delete_after`, unless they rejoin."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="departures")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    delete_after = models.DateTimeField(db_index=True)
    conversations_deleted = models.PositiveIntegerField(
        default=0, editable=False, help_text="So far. The audit gets the total at the end."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="one_departure_a_member"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} left {self.tenant_id}"
