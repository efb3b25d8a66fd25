"""allauth's adapter of sign-in with issuers: cleans names and addresses, and finds the present account."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import is_headless_request
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import redirect

from accounts.models import User
from accounts.sign_in.oidc.provider import has_our_nonce
from accounts.sign_in.users import is_verified

LONGEST_NAME = 100
LONGEST_EMAIL = 254


class SocialAdapter(DefaultSocialAccountAdapter):
    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        """Cleans the issuer's data before anything reads it."""
        account = sociallogin.account
        if _storable(account.uid) != account.uid:
            raise PermissionDenied
        account.extra_data = _storable(account.extra_data)
        sociallogin.email_addresses = [
            _cleaned(address) for address in sociallogin.email_addresses if _is_storable(address.email)
        ]
        email = data.get("email")
        data = {**data, "email": email if email and _is_storable(email) else None}
        user: User = super().populate_user(request, sociallogin, data)
        user.name = _name(data)
        return user

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[User, str] | None:
        """The present account, only if both the issuer and the account's owner have verified the address.

        allauth would also take an account whose address was never verified, and wipe its password.
        """
        for address in sociallogin.email_addresses:
            if address.verified and self.can_authenticate_by_email(sociallogin, address.email):
                ours = EmailAddress.objects.filter(email=address.email, verified=True).first()
                if ours is not None:
                    return ours.user, address.email
        return None

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuses an id token that does not answer our request."""
        if not has_our_nonce(sociallogin):
            raise PermissionDenied
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            self._expect_verified(request, sociallogin)

    def _expect_verified(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Otherwise someone could sign up with another person's address and get back in by the connection."""
        if not isinstance(request.user, User) or is_verified(request.user):
            return
        if is_headless_request(request) or sociallogin.state.get("headless"):
            raise get_adapter().validation_error("unverified_primary_email")
        messages.error(request, "Confirm your email address before you connect another account.")
        raise ImmediateHttpResponse(redirect("account_email"))


def _cleaned(address: EmailAddress) -> EmailAddress:
    """Some issuers send `"false"` as a string: only true counts as verified."""
    address.verified = address.verified is True or str(address.verified).lower() == "true"
    return address


def _is_storable(email: str) -> bool:
    return len(email) <= LONGEST_EMAIL and bool(_storable(email) == email)


def _name(data: dict[str, Any]) -> str:
    full = data.get("name") or " ".join(str(data.get(part) or "") for part in ("first_name", "last_name"))
    return str(_storable(str(full))).strip()[:LONGEST_NAME]


def _storable(value: Any) -> Any:
    """The value without what PostgreSQL cannot store: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="ignore").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(child) for key, child in value.items()}
    return [_storable(child) for child in value] if isinstance(value, list) else value
