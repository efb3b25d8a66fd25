"""allauth's adapter of two-factor authentication: seals its secrets and names this installation."""

import structlog
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError

from accounts.models import User
from kit.secrets import SecretUnreadable, seal, unseal

ISSUER = "Switchyard"
UNREADABLE = "Your codes cannot be checked because an encryption key is missing. Ask the operator."
log = structlog.get_logger(__name__)
# The sealed fields of an authenticator's data, for `manage.py reseal_secrets`.
SEALED = ("secret", "seed")


class MfaAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """ValidationError, which the forms show, if its key is missing."""
        try:
            return unseal(encrypted_text)
        except SecretUnreadable as exc:
            log.exception("a two-factor secret cannot be read: a key is missing in ENCRYPTION_KEYS")
            raise ValidationError(UNREADABLE, code=SecretUnreadable.code) from exc

    def get_totp_issuer(self) -> str:
        return ISSUER

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": ISSUER}

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1
        return "Passkey" if number == 1 else f"Passkey {number}"
