"""Around every page: how many requests a person may send, and the web's only door into a tenant.

`/t/<tenant>/w/<workspace>/…` checks the member and enters the schema.
"""

import re
from collections.abc import Callable
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string

from accounts.audit import services as audit
from accounts.models import User
from accounts.principals import Principal, find_principal
from accounts.request_limits import count_request_of
from accounts.sign_in.app_tokens import AppTokens
from kit import request_origin
from kit.api import error_headers, json_error
from kit.errors import RateLimited
from kit.tenancy import tenant_scope

# The same signs as the `slug` converter in the routes: whatever they match, this has checked.
PLACE = re.compile(r"^/t/(?P<tenant>[-a-zA-Z0-9_]+)/w/(?P<workspace>[-a-zA-Z0-9_]+)/")


class WorkspaceRequest(HttpRequest):
    """What the pages of a workspace receive."""

    principal: Principal


LAST_PLACE = "last_place"  # in the session: tenant and workspace slugs


def remember_place(request: HttpRequest, principal: Principal) -> None:
    """The root leads back to where one was; going elsewhere is a switch, and audited as such."""
    here = [principal.tenant.slug, principal.workspace.slug]
    before = request.session.get(LAST_PLACE)
    if before == here:
        return
    request.session[LAST_PLACE] = here
    if before is not None:
        audit.record("user.switched", principal=principal, target="/".join(here), via="web")


class WorkspaceMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        place = PLACE.match(request.path_info)
        if place is None:
            return self.get_response(request)
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.get_full_path())
        principal = find_principal(
            user_id=user.pk, tenant_slug=place["tenant"], workspace_slug=place["workspace"]
        )
        if principal is None:
            raise Http404
        cast("WorkspaceRequest", request).principal = principal
        remember_place(request, principal)
        with tenant_scope(principal.tenant):
            return self.get_response(request)


APP_PATHS = ("/_allauth/", "/v1/auth/")  # where an app shows its session's token
JSON_PATHS = ("/_allauth/", "/v1/")


class RequestLimitMiddleware:
    """Counts the requests of sessions, a browser's or an app's; bearer tokens count where they are read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user_id = _signed_in(request)
        try:
            if user_id is not None:
                count_request_of(user_id)
        except RateLimited as refusal:
            return _refused(request, refusal)
        return self.get_response(request)


def _signed_in(request: HttpRequest) -> UUID | None:
    """By the session alone, which the page reads anyway: whether it still stands for a user, others check."""
    token = request.headers.get("x-session-token", "")
    if token and request.path_info.startswith(APP_PATHS):
        session = AppTokens().lookup_session(token)
    else:
        session = request.session if settings.SESSION_COOKIE_NAME in request.COOKIES else None
    named = session.get(SESSION_KEY) if session is not None else None
    return UUID(str(named)) if named else None


def _refused(request: HttpRequest, refusal: RateLimited) -> HttpResponse:
    if request.path_info.startswith(JSON_PATHS):
        return json_error(refusal)
    page = render_to_string("429.html", {"error": refusal, "request_id": request_origin.current().request_id})
    return HttpResponse(page, status=refusal.status, headers=error_headers(refusal))
