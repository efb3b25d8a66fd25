"""Access to the admin: operators sign in as everyone does, in production with two-factor authentication."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import User

CHECKED = "_has_second_factor"  # on the request: the admin asks several times


class OperatorSite(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """Checked before every page of the admin. Sign-in has asked for the authenticator's code."""
        return super().has_permission(request) and _has_second_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Never Django's own form, which has neither limits on guesses nor a second factor."""
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
        if not (user.is_active and user.is_staff):
            raise PermissionDenied
        return redirect("admin:index" if _has_second_factor(request) else "mfa_index")


def lacks_second_factor(user: User) -> bool:
    """False if the admin needs none. Recovery codes alone do not count: they come with an app or passkey."""
    if not settings.ADMIN_TWO_FACTOR:
        return False
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    found: bool = Authenticator.objects.filter(user=user, type__in=kinds).exists()
    return not found


def _has_second_factor(request: HttpRequest) -> bool:
    if not hasattr(request, CHECKED):
        user = request.user
        setattr(request, CHECKED, isinstance(user, User) and not lacks_second_factor(user))
    return bool(getattr(request, CHECKED))
