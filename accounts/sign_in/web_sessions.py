"""The principal of a browser's session cookie, for consumers, where Django's middleware does not run."""

from importlib import import_module
from io import BytesIO
from uuid import UUID

from asgiref.typing import HTTPScope
from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from accounts.errors import OriginRefused
from accounts.models import User
from accounts.principals import Principal, find_principal
from accounts.request_limits import count_request_of
from kit.errors import NotAuthenticated, NotFound


def request_of(scope: HTTPScope, body: bytes) -> ASGIRequest:
    """A consumer's request as Django's: cookies, headers, form."""
    return ASGIRequest(scope, BytesIO(body))


def check_csrf(request: HttpRequest) -> None:
    """Django's check of the token in header or form against the cookie, and of Origin and Referer."""
    check = CsrfViewMiddleware(_nothing)
    check.process_request(request)
    if check.process_view(request, _nothing, (), {}) is not None:
        raise OriginRefused


def _nothing(request: HttpRequest) -> HttpResponse:
    """The view that the check needs; it is never called."""
    return HttpResponse()


def principal_of_session(session_key: str | None, *, tenant_slug: str, workspace_slug: str) -> Principal:
    """NotAuthenticated without a live session; RateLimited; NotFound if the user may not enter."""
    user_id = _user_of(session_key)
    if user_id is None:
        raise NotAuthenticated
    count_request_of(user_id)
    principal = find_principal(user_id=user_id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    if principal is None:
        raise NotFound
    return principal


def _user_of(session_key: str | None) -> UUID | None:
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user.pk if isinstance(user, User) else None
