"""Browsers that signed in to an account before, known by a signed cookie: others cannot lock them out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts.models import User

COOKIE = "switchyard_device"
SALT = "accounts.sign_in.known_devices"
LIFETIME_SECONDS = 180 * 24 * 3600
MOST_ACCOUNTS = 5  # in one browser
SIGN_IN_PATHS = ("/accounts/", "/_allauth/", "/invitations/")


@dataclass(frozen=True, slots=True)
class Entry:
    """A signed-in account with its access version: changed credentials make the device unknown."""

    user_id: str
    access_version: int
    device: str


class KnownDeviceMiddleware:
    """Sets the cookie after a sign-in, and renews it after a change of credentials."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _may_sign_in(request):
            return self.get_response(request)
        was_signed_in = request.user.is_authenticated
        answer = self.get_response(request)
        if request.user.is_authenticated:
            _remember(request, answer, request.user.pk, is_new=not was_signed_in)
        return answer


def known_device(request: HttpRequest, *, user: User | None = None, email: str = "") -> str:
    """The name of the account's device; empty without a sign-in since the credentials changed."""
    entries = {entry.user_id: entry for entry in _entries(request)}
    if not entries:
        return ""
    by_user = Q(pk=user.pk) if user else _has_address(email)
    row = User.objects.filter(by_user, pk__in=list(entries)).values_list("pk", "access_version").first()
    if row is None:
        return ""
    entry = entries[str(row[0])]
    return entry.device if entry.access_version == row[1] else ""


def _has_address(email: str) -> Q:
    others = EmailAddress.objects.filter(email=email, verified=True).values("user")
    return Q(email=email) | Q(pk__in=others)


def _may_sign_in(request: HttpRequest) -> bool:
    """An issuer's callback is a GET."""
    changes = request.method == "POST" or request.path_info.endswith("/callback/")
    return changes and request.path_info.startswith(SIGN_IN_PATHS)


def _remember(request: HttpRequest, answer: HttpResponse, user_id: UUID, *, is_new: bool) -> None:
    """Only a sign-in creates a device; otherwise a stolen session could create one for every few guesses."""
    version = User.objects.filter(pk=user_id).values_list("access_version", flat=True).first() or 0
    entries = _entries(request)
    known = next((entry for entry in entries if entry.user_id == str(user_id)), None)
    if (known is None and not is_new) or (known is not None and known.access_version == version):
        return
    device = known.device if known else uuid4().hex
    others = [entry for entry in entries if entry.user_id != str(user_id)]
    stored = [Entry(str(user_id), version, device), *others][:MOST_ACCOUNTS]
    answer.set_cookie(
        COOKIE,
        signing.dumps([[e.user_id, e.access_version, e.device] for e in stored], salt=SALT),
        max_age=LIFETIME_SECONDS,
        httponly=True,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        samesite="Lax",
    )


def _entries(request: HttpRequest) -> list[Entry]:
    """Empty if the cookie is missing, forged or too old."""
    text = request.COOKIES.get(COOKIE, "")
    if not text:
        return []
    try:
        values: list[Any] = signing.loads(text, salt=SALT, max_age=LIFETIME_SECONDS)
    except signing.BadSignature:
        return []
    return [Entry(*entry) for entry in values]
