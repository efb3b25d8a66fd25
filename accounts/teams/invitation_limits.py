"""Limits on mailed invitations: they go to strangers, in the operator's name."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.email_addresses import mailbox_of
from accounts.errors import AddressUnverified, InvitationLimit
from accounts.models import ApiKey, InvitationMail, User
from accounts.principals import Principal
from accounts.sign_in.users import is_verified

DAY = timedelta(days=1)
COUNTED = 2 * DAY  # rows older than this are deleted
SALT = "accounts.invitation_mail"


def expect_sender(principal: Principal) -> None:
    """AddressUnverified until the person confirmed their address; for a service account, its key's creator.

    Without a mail server no invitation leaves this machine, and anyone may try them out.
    """
    if not may_send(principal):
        raise AddressUnverified("Confirm your email address before you invite people.")


def may_send(principal: Principal) -> bool:
    return not settings.EMAIL_HOST or is_verified(_person_behind(principal))


def _person_behind(principal: Principal) -> User:
    user = User.objects.get(id=principal.user_id)
    if user.service_of_id is None:
        return user
    keys = ApiKey.objects.select_related("created_by")
    key = keys.filter(prefix=principal.api_key).first()
    return (key.created_by if key else None) or user  # a service account has no address to confirm


def lock_recipients(addresses: Iterable[str]) -> None:
    """Until the transaction ends no other team counts these addresses. Locked in order, against deadlocks."""
    keys = sorted({int(_hash(address)[:15], 16) for address in addresses})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(k) FROM (SELECT unnest(%s::bigint[]) AS k ORDER BY 1) AS keys",
            [keys],
        )


def expect_team_below_limit(tenant_id: UUID, more: int) -> None:
    """InvitationLimit unless the team may send `more` invitations today. The caller has locked the tenant."""
    limit = settings.INVITATIONS_PER_DAY
    sent = _today().filter(tenant_id=tenant_id)
    count = sent.count()  # never above the limit
    if count + more <= limit:
        return
    free_again = (
        sent.order_by("sent_at")[count + more - limit - 1 : count + more - limit] if more <= limit else []
    )
    raise InvitationLimit(
        f"Your team can send {limit} invitations in 24 hours: {count} were sent, {more} more were requested.",
        limit=limit,
        sent=count,
        requested=more,
        retry_after=_seconds_until(free_again),
    )


def expect_recipient_below_limit(address: str) -> None:
    """InvitationLimit if the address got its daily number of invitations, from any teams."""
    limit = settings.INVITATIONS_PER_RECIPIENT_PER_DAY
    got = _today().filter(recipient_hash=_hash(address))
    if got.count() >= limit:
        raise InvitationLimit(
            "This address cannot be sent more invitations now. Try again tomorrow.",
            limit=limit,
            retry_after=_seconds_until(got.order_by("sent_at")[:1]),
        )


def note_mail(tenant_id: UUID, address: str) -> None:
    InvitationMail.objects.create(tenant_id=tenant_id, recipient_hash=_hash(address), sent_at=timezone.now())


def forget_old_counts() -> None:
    InvitationMail.objects.filter(sent_at__lt=timezone.now() - COUNTED).delete()


def _today() -> QuerySet[InvitationMail]:
    return InvitationMail.objects.filter(sent_at__gt=timezone.now() - DAY)


def _seconds_until(rows: Iterable[InvitationMail]) -> int:
    """Until the first row is a day old; a day if there is none."""
    first = next(iter(rows), None)
    until = first.sent_at + DAY - timezone.now() if first else DAY
    return max(1, int(until.total_seconds()))


def _hash(address: str) -> str:
    return salted_hmac(
        SALT, mailbox_of(address).encode("utf-8", "surrogatepass"), algorithm="sha256"
    ).hexdigest()
