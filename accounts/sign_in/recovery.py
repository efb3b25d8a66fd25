"""What ends when an account is recovered by mail: whatever someone else may have left behind in it.

People can sign up with an address they do not own. As soon as a mailed link proves the address for the first
time, everything added before is removed, so that no one who held the account until then gets back in.
"""

from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage, LoginStageController
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.audit import services as audit
from accounts.errors import EmailTaken
from accounts.mail.links import site_link
from accounts.mail.services import send_mail
from accounts.models import ApiKey, Invitation, OwnershipOffer, Tenant, User, WorkspaceLink
from accounts.revocation import access_changed, end_tokens
from accounts.sign_in.credential_changes import end_other_sessions
from accounts.sign_in.users import is_verified, mark_verified

# Sent with `user` in the same transaction, for what the apps above hold in the name of a person.
access_removed = Signal()
MOST_LISTED = 100  # keys that the mail names


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken away, as the person is told and the audit records it."""

    keys: list[str]
    addresses: list[str]
    connections: int = 0
    second_steps: int = 0
    invitations: int = 0
    links: int = 0

    def __bool__(self) -> bool:
        return any(
            (self.keys, self.addresses, self.connections, self.second_steps, self.invitations, self.links)
        )

    def as_details(self) -> dict[str, Any]:
        return {
            "api_keys": self.keys[:MOST_LISTED],
            "addresses": self.addresses,
            "connections": self.connections,
            "second_steps": self.second_steps,
            "invitations": self.invitations,
            "links": self.links,
        }


@transaction.atomic
def recover(user: User) -> Removed:
    """After a new password was set by a mailed link; sessions and tokens have ended by then.

    The person's API keys are revoked: the thief of a password may have made them.
    """
    if not is_verified(user):
        # Where another account has proved the address meanwhile, this one does not get it as well.
        return end_unproved_access(user) if _is_proved_elsewhere(user) else prove_by_mail(user)
    removed = Removed(keys=_revoke(ApiKey.objects.filter(owner=user)), addresses=[])
    return _report(user, removed, "user.keys_revoked_in_recovery")


@transaction.atomic
def prove_by_mail(user: User) -> Removed:
    """For someone with a mailed link, and so with access to the account's own mailbox.

    The first time this ends all that was added before, other sessions and tokens too. The password stays:
    the caller knows who set it.
    """
    if is_verified(user):
        return Removed(keys=[], addresses=[])
    if _is_proved_elsewhere(user):
        raise EmailTaken("Another account has confirmed this address. Sign in to that account.")
    removed = end_unproved_access(user)
    mark_verified(user)
    return removed


def _is_proved_elsewhere(user: User) -> bool:
    others = EmailAddress.objects.filter(email=user.email, verified=True).exclude(user=user)
    return bool(others.exists())


@transaction.atomic
def end_unproved_access(user: User) -> Removed:
    """The part of `prove_by_mail` for flows that mark the address as proved themselves."""
    return _report(user, _remove_unproved(user), "user.unproved_access_removed")


def clear_password(user: User) -> None:
    """The password no longer works; a new one is set by mail."""
    user.set_unusable_password()
    user.save(update_fields=["password"])
    audit.record("user.password_cleared", actor_id=user.pk, target=user.email)


def is_own_session(request: HttpRequest, user: User) -> bool:
    """Whether this browser or app signed up as `user`, or has just given that account's password."""
    if request.user.pk == user.pk:
        return True
    stage = LoginStageController.enter(request, EmailVerificationStage.key)
    return bool(stage and stage.login.user and stage.login.user.pk == user.pk)


def _remove_unproved(user: User) -> Removed:
    teams = Tenant.objects.filter(memberships__user=user)
    now = timezone.now()
    others = EmailAddress.objects.filter(user=user).exclude(email=user.email)
    addresses = list(others.values_list("email", flat=True))
    others.delete()
    steps = Authenticator.objects.filter(user=user)
    removed = Removed(
        keys=_revoke(ApiKey.objects.filter(Q(owner=user) | Q(created_by=user, tenant__in=teams))),
        addresses=addresses,
        connections=SocialAccount.objects.filter(user=user).delete()[0],
        second_steps=len([step.delete() for step in steps]),
        invitations=Invitation.objects.filter(
            tenant__in=teams, invited_by=user, accepted_at=None, revoked_at=None
        ).update(revoked_at=now),
        links=WorkspaceLink.objects.filter(
            workspace__tenant__in=teams, created_by=user, revoked_at=None
        ).update(revoked_at=now),
    )
    OwnershipOffer.objects.filter(tenant__in=teams, offered_by=user).delete()
    end_other_sessions(user)
    end_tokens(user.pk)
    access_removed.send(sender=User, user=user)
    return removed


def _revoke(keys: QuerySet[ApiKey]) -> list[str]:
    """Ends those that are alive; their names, as their owner knows them."""
    alive = list(keys.filter(revoked_at=None).select_related("tenant").order_by("created_at"))
    ApiKey.objects.filter(id__in=[key.id for key in alive]).update(
        revoked_at=timezone.now(), revoked_in_recovery=True
    )
    for owner in {key.owner_id for key in alive}:
        access_changed(owner)
    return [f"{key.name} (sy_{key.prefix}…)" for key in alive]


def _report(user: User, removed: Removed, what: str) -> Removed:
    if removed:
        audit.record(what, actor_id=user.pk, target=user.email, **removed.as_details())
        context = {
            "removed": removed,
            "was_reset": what == "user.keys_revoked_in_recovery",
            "keys": removed.keys[:MOST_LISTED],
            "url": site_link(reverse("own_keys")),
        }
        send_mail("access_removed", user.email, context)
    return removed
