"""Receives allauth's signals: changed factors and addresses are audited, and end other sessions."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.account.signals import _add_email, email_added, email_confirmed
from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.audit import services as audit
from accounts.models import User
from accounts.sign_in.credential_changes import credentials_changed
from accounts.sign_in.guesses import count_codes_by_network
from accounts.sign_in.recovery import clear_password, end_unproved_access, is_own_session
from accounts.sign_in.users import is_verified

count_codes_by_network()
FACTORS = {"totp": "totp", "webauthn": "passkey", "recovery_codes": "recovery_codes"}


@receiver(post_save, sender=Authenticator)
def audit_added_factor(*, instance: Authenticator, created: bool, **kwargs: Any) -> None:
    """By the model's signal, which is sent inside the transaction; allauth's own are sent after it."""
    if created:
        credentials_changed(instance.user, action=f"user.{FACTORS[instance.type]}_added")


@receiver(post_delete, sender=Authenticator)
def audit_removed_factor(*, instance: Authenticator, origin: Any, **kwargs: Any) -> None:
    if not isinstance(origin, User):  # deleting a user deletes everything of theirs
        credentials_changed(instance.user, action=f"user.{FACTORS[instance.type]}_removed")


@receiver(signals.authentication_failed)
def audit_wrong_code(*, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    audit.record("user.code_refused", actor_id=user.pk, target=user.email, step=authenticator.type)


@receiver(signals.authenticator_added)
def use_up_the_first_code(*, authenticator: Authenticator, **kwargs: Any) -> None:
    """The code that confirmed a new authenticator app must not sign anyone in while it is displayed."""
    if authenticator.type != Authenticator.Type.TOTP:
        return
    secret, totp = decrypt(authenticator.data["secret"]), authenticator.wrap()
    for counter in yield_hotp_counters_from_time():
        totp.validate_code(format_hotp_value(hotp_value(secret, counter)))


@receiver(_add_email)
def refuse_second_address(*, user: User, **kwargs: Any) -> None:
    """By the signal that allauth itself uses to refuse, for pages and apps.

    Otherwise someone could sign up with another person's address, add their own, and get back in with it.
    """
    if not is_verified(user):
        raise get_adapter().validation_error("unverified_primary_email")


@receiver(email_added)
def audit_address(*, user: User, email_address: EmailAddress, **kwargs: Any) -> None:
    audit.record("user.email_added", actor_id=user.pk, target=email_address.email)


@receiver(email_confirmed)
def audit_confirmation(*, request: HttpRequest, email_address: EmailAddress, **kwargs: Any) -> None:
    """A link opened in another session than the sign-up's does not show who created the account."""
    user = email_address.user
    if email_address.email == user.email and not is_own_session(request, user):
        if not getattr(request, "knows_password", False):
            clear_password(user)
        end_unproved_access(user)
    audit.record("user.email_verified", actor_id=email_address.user_id, target=email_address.email)
