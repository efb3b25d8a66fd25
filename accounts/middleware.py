"""Middleware of the web: the limit on requests, and the tenant's schema for its pages.

Only `/t/<tenant>/w/<workspace>/…` enters a tenant's schema, after checking the member.
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

# The same characters as the `slug` converter: every URL that the routes match is checked here.
WORKSPACE_PATH = re.compile(r"^/t/(?P<tenant>[-a-zA-Z0-9_]+)/w/(?P<workspace>[-a-zA-Z0-9_]+)/")


class WorkspaceRequest(HttpRequest):
    """A request to a page of a workspace."""

    principal: Principal


LAST_WORKSPACE = "last_place"  # in the session: tenant and workspace slugs


def remember_workspace(request: HttpRequest, principal: Principal) -> None:
    """For the root, which leads to the last workspace; going to another one is audited as a switch."""
    slugs = [principal.tenant.slug, principal.workspace.slug]
    before = request.session.get(LAST_WORKSPACE)
    if before == slugs:
        return
    request.session[LAST_WORKSPACE] = slugs
    if before is not None:
        audit.record("user.switched", principal=principal, target="/".join(slugs), via="web")


class WorkspaceMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = WORKSPACE_PATH.match(request.path_info)
        if path is None:
            return self.get_response(request)
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.get_full_path())
        principal = find_principal(
            user_id=user.pk, tenant_slug=path["tenant"], workspace_slug=path["workspace"]
        )
        if principal is None:
            raise Http404
        cast("WorkspaceRequest", request).principal = principal
        remember_workspace(request, principal)
        with tenant_scope(principal.tenant):
            return self.get_response(request)


APP_PATHS = ("/_allauth/", "/v1/auth/")  # where an app sends its session's token
JSON_PATHS = ("/_allauth/", "/v1/")


class RequestLimitMiddleware:
    """Counts requests by session, of a browser or an app; bearer tokens are counted where they are read."""

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
    """The session's user id, read without a query; whether the session is still valid is checked later."""
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
