"""Listens to allauth about second steps: wrong codes are audited, a code counts once from the first on."""

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.dispatch import receiver

from accounts import audit
from accounts.models import User


@receiver(signals.authentication_failed)
def audit_wrong_code(*, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    audit.record("user.code_refused", actor_id=user.pk, target=user.email, step=authenticator.type)


@receiver(signals.authenticator_added)
def use_up_the_first_code(*, authenticator: Authenticator, **kwargs: Any) -> None:
    """The code that proved a new authenticator app must not sign anybody in while it is on the screen."""
    if authenticator.type != Authenticator.Type.TOTP:
        return
    secret, totp = decrypt(authenticator.data["secret"]), authenticator.wrap()
    for counter in yield_hotp_counters_from_time():
        totp.validate_code(format_hotp_value(hotp_value(secret, counter)))
