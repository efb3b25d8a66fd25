"""A turn's reservation and the holds of its model calls."""

from typing import ClassVar, Self
from uuid import UUID, uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def open(self) -> Self:
        return self.filter(state=Reservation.State.OPEN)

    def expired(self) -> Self:
        """Open, with a lease that ran out by the database's clock."""
        return self.open().filter(lease_expires_at__lt=Now())


class Reservation(models.Model):
    """A turn's admission; its id is the turn's. While it is open, its lease shows that a process runs it."""

    class State(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True)
    tenant_id = models.UUIDField()
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="The tenant's, when the turn began")
    purpose = models.CharField(max_length=12)
    engine = models.CharField(max_length=20)
    counters = ArrayField(
        models.BigIntegerField(),
        default=list,
        help_text="Ids of the counters of concurrent turns that include it",
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    lease_expires_at = models.DateTimeField()
    holder = models.UUIDField(null=True, help_text="The process that runs it and renews its lease")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    objects = ReservationQuerySet.as_manager()

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


class HoldQuerySet(models.QuerySet["Hold"]):
    def of_turn(self, turn_id: UUID) -> Self:
        return self.filter(reservation_id=turn_id)

    def live(self) -> Self:
        """Held or sent: what the counters have reserved."""
        return self.filter(state__in=Hold.LIVE)

    def sent(self) -> Self:
        return self.filter(state=Hold.State.SENT)

    def unadopted(self) -> Self:
        """The hold that admission took, before the turn's first call adopts it."""
        return self.filter(call_id=None, state=Hold.State.HELD)

    def adopted(self) -> Self:
        """Holds of calls that were made."""
        return self.exclude(call_id=None)

    def not_read_on(self) -> Self:
        """Without sent calls whose reply is still read after its reader has left."""
        return self.exclude(state=Hold.State.SENT, read_on_until__gt=Now())


class Hold(models.Model):
    """One model call's share of a reservation. `quotas.hold_states` draws its states and changes them."""

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
        models.BigIntegerField(), default=list, help_text="Ids of the token and cost counters that include it"
    )
    day = models.DateField(help_text="In the tenant's time zone; its usage counts on this day")
    model = models.CharField(max_length=100)
    model_id = models.UUIDField(null=True, help_text="The model with that slug")
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
        help_text="Set after the reader has left: until then the reply is read for the provider's count",
    )
    fingerprint = models.CharField(
        max_length=64, blank=True, help_text="Digest of the request, to detect repetition"
    )
    overrun = models.BooleanField(default=False, help_text="The provider billed more than was held")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = HoldQuerySet.as_manager()

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
        """The tokens that the hold reserves."""
        return self.prompt_bound + self.output_bound
