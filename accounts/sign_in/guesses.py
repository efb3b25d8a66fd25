"""Limits on guesses of passwords and codes, counted so that no one can lock out someone else.

A wrong guess counts against the account *from that network*. A device that signed in to the account before
has a count of its own, so it gets through whatever others try. Guesses from many networks meet a far higher
limit of the account, which known devices, and networks that the account was used from, never meet.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.core.internal import ratelimit
from allauth.mfa.base import forms as code_forms
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.webauthn import forms as webauthn_forms
from django.core.cache import cache
from django.http import HttpRequest

from accounts.models import User
from accounts.sign_in.known_devices import known_device
from kit.request_origin import current_network

# tries / time; in allauth's limiter `key` means a count for each key
RATES = {
    "tries": "30/m/key",  # from one network, right or wrong
    "wrong": "20/m/key",  # from one network, whatever the account
    "account_here": "5/5m/key",  # on one account, from one network or by one known device
    "password_anywhere": "100/h/key",  # on one account, from all networks new to it
    "code_anywhere": "30/h/key",  # the same for codes; there are only a million
}
NETWORK_KNOWN_SECONDS = 30 * 24 * 3600


class Kind(StrEnum):
    PASSWORD = "password"  # noqa: S105
    CODE = "code"


@dataclass
class Guess:
    """One try, counted as wrong until `succeed` takes it back."""

    kind: Kind
    account: str  # the typed address, or a user's id
    request: HttpRequest
    device: str = ""  # the known device that it comes from, if any
    usages: list[ratelimit.RateLimitUsage] = field(default_factory=list)

    def succeed(self) -> None:
        """Uncounts the try, and remembers that the account is used from this network."""
        self.rollback()
        if not self.device:
            cache.set(self._network_slot(), 1, NETWORK_KNOWN_SECONDS)

    def rollback(self) -> None:
        for usage in self.usages:
            usage.rollback()
        self.usages.clear()

    def count(self) -> bool:
        """False if a limit is reached; then nothing is counted."""
        if all(self._take(name, key) for name, key in self._bounds()):
            return True
        self.rollback()
        return False

    def forget(self) -> None:
        """Clears the counts after a new password."""
        for name, key in [("account_here", self._here()), (f"{self.kind}_anywhere", self.account)]:
            ratelimit.clear(self.request, app="guesses", action=name, config=RATES, key=key)

    def _bounds(self) -> list[tuple[str, str]]:
        here = ("account_here", self._here())
        if self.device:
            return [here]
        bounds = [("wrong", current_network()), here]
        if not cache.get(self._network_slot()):
            bounds.append((f"{self.kind}_anywhere", self.account))
        return bounds

    def _here(self) -> str:
        return f"{self.kind}:{self.account}:{self.device or current_network()}"

    def _network_slot(self) -> str:
        digest = hashlib.sha256(f"{self.account}:{current_network()}".encode()).hexdigest()
        return f"known_network:{self.kind}:{digest}"

    def _take(self, name: str, key: str) -> bool:
        usage = _consume(self.request, name, key)
        if usage is not None:
            self.usages.append(usage)
        return usage is not None


def guess_password(request: HttpRequest, email: str) -> Guess | None:
    """`email` in its normal form; None after too many wrong guesses."""
    device = known_device(request, email=email)
    if not device and _consume(request, "tries", current_network()) is None:
        return None
    guess = Guess(Kind.PASSWORD, email, request, device)
    return guess if guess.count() else None


def forget_guesses(request: HttpRequest, email: str) -> None:
    Guess(Kind.PASSWORD, email, request, known_device(request, email=email)).forget()


def guess_code(user: User, error_key: str | None = None) -> Callable[[], None]:
    """Replaces allauth's check, which counts by account alone, before every code and passkey.

    Returns a function to call if the code was right; ValidationError after too many wrong ones.
    """
    request = context.request
    guess = Guess(Kind.CODE, str(user.pk), request, known_device(request, user=user))
    if not guess.count():
        raise get_adapter().validation_error(error_key or "too_many_login_attempts")
    return guess.succeed


def count_codes_by_network() -> None:
    """allauth has no setting for this; its forms are used by all pages, apps and our own routes."""
    for forms in (code_forms, totp_forms, webauthn_forms):
        forms.check_rate_limit = guess_code


def _consume(request: HttpRequest, name: str, key: str) -> ratelimit.RateLimitUsage | None:
    usage: ratelimit.RateLimitUsage | None = ratelimit.consume(
        request, app="guesses", action=name, config=RATES, key=key, limit_get=True
    )
    return usage
