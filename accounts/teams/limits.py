"""Limits on founded teams, by person and by network: each team costs a schema."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import Founding, Tenant, User
from kit.errors import Conflict, RateLimited
from kit.request_origin import current_network

DAY = timedelta(days=1)


def expect_founder(user: User) -> None:
    """Conflict for a person who has founded as many teams as allowed, even if they passed them on.

    Exact only inside the transaction that called `tenants.lock_slugs`.
    """
    if Tenant.objects.filter(founder_id=user.id).count() >= settings.TEAMS_PER_PERSON:
        raise Conflict(
            f"You have created {settings.TEAMS_PER_PERSON} teams, the maximum per person. "
            "Ask to be invited to a team, or ask the operator for more."
        )


def expect_network() -> None:
    """RateLimited if today's number of teams was founded from this network."""
    found = Founding.objects.filter(network=current_network(), at__gt=timezone.now() - DAY)
    times = found.order_by("-at").values_list("at", flat=True)
    most = settings.TEAMS_PER_NETWORK_PER_DAY
    if len(recent := list(times[:most])) < most:
        return
    wait = (recent[-1] + DAY - timezone.now()).total_seconds()
    raise RateLimited(
        "Too many teams were created from your network today. Try again later.", retry_after=max(1, int(wait))
    )


def note_founding() -> None:
    """Counts a team founded from this network; a rehearsed sign-up counts as well."""
    Founding.objects.create(network=current_network(), at=timezone.now())


def forget_old_foundings() -> None:
    Founding.objects.filter(at__lt=timezone.now() - DAY).delete()
