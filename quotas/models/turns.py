"""What a turn reserves and each of its model calls holds."""

from typing import ClassVar
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Reservation(models.Model):
    """A turn's admission; its id is the turn's. While it is open, its lease says that somebody runs it."""

    class State(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True)
    tenant_id = models.UUIDField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="The tenant's, as the turn began")
    purpose = models.CharField(max_length=12)
    engine = models.CharField(max_length=20)
    counters = ArrayField(
        models.BigIntegerField(), default=list, help_text="Where it counts as a turn at once"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    lease_expires_at = models.DateTimeField()
    holder = models.UUIDField(null=True, help_text="The process that runs it, and renews its lease")
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

    LIVE: ClassVar = [State.HELD, State.SENT]

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="holds")
    # Empty until the turn's first call adopts the hold that admission took.
    call_id = models.UUIDField(null=True, unique=True)
    counters = ArrayField(
        models.BigIntegerField(), default=list, help_text="Where it is held: tokens and cost"
    )
    day = models.DateField(help_text="In the tenant's time zone; where its use is counted")
    model = models.CharField(max_length=100)
    model_id = models.UUIDField(null=True, help_text="Which model had that slug")
    provider = models.CharField(max_length=40)
    state = models.CharField(max_length=12, choices=State.choices, default=State.HELD)
    prompt_bound = models.BigIntegerField()
    prompt_estimate = models.BigIntegerField(
        null=True, help_text="Charged if the provider's count never arrives; empty: the bound"
    )
    output_bound = models.BigIntegerField()
    cost_bound = models.BigIntegerField(default=0, help_text="Millionths of the currency")
    # Millionths of the currency for a million tokens, as they stood when it was held; empty: unknown.
    input_price = models.BigIntegerField(null=True)
    cached_input_price = models.BigIntegerField(null=True)
    output_price = models.BigIntegerField(null=True)
    reasoning_price = models.BigIntegerField(null=True)
    streamed_tokens = models.BigIntegerField(default=0)
    read_on_until = models.DateTimeField(
        null=True,
        help_text="Its reader has left, and the reply is read on for the provider's count until then",
    )
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
                condition=Q(
                    prompt_bound__gte=0, output_bound__gte=0, streamed_tokens__gte=0, cost_bound__gte=0
                ),
                name="hold_bounds_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="hold_live", condition=Q(state__in=["held", "sent"]))
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.state}"

    @property
    def amount(self) -> int:
        """What the hold reserves, in tokens."""
        return self.prompt_bound + self.output_bound
