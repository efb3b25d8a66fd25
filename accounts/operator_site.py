"""The admin's door: operators sign in where everyone does, in production with two-factor authentication."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
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
        """Asked before every page of the admin. Whoever has an authenticator cannot sign in without it."""
        return super().has_permission(request) and _has_second_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Never Django's own form: it knows no limits on guesses and no second step."""
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
        if not (user.is_active and user.is_staff):
            raise PermissionDenied
        if _has_second_factor(request):
            return redirect("admin:index")
        messages.warning(
            request,
            "The admin requires two-factor authentication. Set up an authenticator app or a passkey, "
            "then open the admin again.",
        )
        return redirect("mfa_index")


def _has_second_factor(request: HttpRequest) -> bool:
    """Recovery codes alone are none: they come with an app or a passkey."""
    if not settings.ADMIN_TWO_FACTOR:
        return True
    if not hasattr(request, CHECKED):
        kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
        found = Authenticator.objects.filter(user_id=request.user.pk, type__in=kinds).exists()
        setattr(request, CHECKED, found)
    return bool(getattr(request, CHECKED))
