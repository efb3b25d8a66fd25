"""Ends access that someone else may have added to an account, once its owner proves the address by mail.

People can sign up with an address they do not own. When a mailed link proves the address for the first time,
everything added before is removed, so that no one who used the account until then gets back in.
"""

from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage, LoginStageController
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from accounts.audit import services as audit
from accounts.errors import EmailTaken
from accounts.mail.links import site_link
from accounts.mail.services import send_mail
from accounts.models import ApiKey, Invitation, OwnershipOffer, Tenant, User, WorkspaceLink
from accounts.models.api_keys import ApiKeyQuerySet
from accounts.revocation import access_changed, end_tokens
from accounts.sign_in.credential_changes import end_other_sessions
from accounts.sign_in.users import is_verified, mark_verified

MOST_LISTED = 100  # keys that the mail names


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, for the mail to the person and the audit."""

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
        # If another account has proved the address in the meantime, this one does not get it as well.
        return end_unproved_access(user) if _is_proved_elsewhere(user) else prove_by_mail(user)
    removed = Removed(keys=_revoke(ApiKey.objects.filter(owner=user)), addresses=[])
    return _report(user, removed, "user.keys_revoked_in_recovery")


@transaction.atomic
def prove_by_mail(user: User) -> Removed:
    """For someone who opened a mailed link, and so has access to the account's mailbox.

    The first time, this ends everything added before, other sessions and tokens too. The password stays:
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
    """The part of `prove_by_mail` for flows that mark the address as verified themselves."""
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
        invitations=Invitation.objects.pending()
        .filter(tenant__in=teams, invited_by=user)
        .update(revoked_at=now),
        links=WorkspaceLink.objects.current()
        .filter(workspace__tenant__in=teams, created_by=user)
        .update(revoked_at=now),
    )
    OwnershipOffer.objects.filter(tenant__in=teams, offered_by=user).delete()
    end_other_sessions(user)
    end_tokens(user.pk)
    for hook in settings.ACCESS_REMOVED_HOOKS:
        import_string(hook)(user)
    return removed


def _revoke(keys: ApiKeyQuerySet) -> list[str]:
    """Revokes the keys; returns their names, as their owner knows them."""
    unrevoked = list(keys.unrevoked().select_related("tenant").order_by("created_at"))
    ApiKey.objects.filter(id__in=[key.id for key in unrevoked]).revoke(in_recovery=True)
    for owner in {key.owner_id for key in unrevoked}:
        access_changed(owner)
    return [f"{key.name} (sy_{key.prefix}…)" for key in unrevoked]


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
