"""Base of the REST views: the error shape, keyset pagination, and the tenant's schema."""

import math
import re
from contextlib import ExitStack
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.utils.dateparse import parse_datetime
from rest_framework import exceptions as rest
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kit import errors, request_origin
from kit.postgresql.failures import database_failure
from kit.rate_headers import refusal_headers
from kit.tenancy import TenantRef, tenant_scope

log = structlog.get_logger(__name__)
PAGE_SIZE = re.compile(r"[0-9]{1,6}")
RESTART_SECONDS = 2  # until another process has replaced the one that stopped


class HasTenant(Protocol):
    @property
    def tenant(self) -> TenantRef: ...


class TenantView(APIView):
    """Runs the view's method in the schema of the tenant in the verified token."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self.scope:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_nul(request)
        principal: HasTenant = request.auth  # type: ignore[assignment]
        self.scope.enter_context(tenant_scope(principal.tenant))


def refuse_nul(request: Request) -> None:
    """PostgreSQL cannot store NUL in text, so no query parameter may contain one."""
    wrong = {
        name: ["NUL characters are not allowed."]
        for name, text in request.query_params.items()
        if "\0" in text
    }
    if wrong:
        raise errors.InvalidInput(**wrong)


class Pages(CursorPagination):
    """Keyset pagination: `{data, has_more, next}`; send `next` as `?cursor=` for the next page."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-created_at", "-id")

    def decode_cursor(self, request: Request) -> Any:
        """All lists are ordered by a timestamp first, so the cursor's position must be a timestamp."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            moment = parse_datetime(str(cursor.position))
            if moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000:
                raise ValueError("not a timestamp")
        return cursor

    def get_page_size(self, request: Request) -> int:
        """InvalidInput for a `limit` that is not a whole number from 1 to the largest page."""
        sent = request.query_params.get(self.page_size_query_param)
        if sent is None:
            return self.page_size
        if not PAGE_SIZE.fullmatch(sent) or not 1 <= int(sent) <= self.max_page_size:
            raise errors.InvalidInput(limit=[f"Enter a whole number from 1 to {self.max_page_size}."])
        return int(sent)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (rest.NotFound, ValueError, TypeError) as exc:
            raise errors.InvalidInput(cursor=["Invalid cursor."]) from exc

    def get_paginated_response(self, data: Any) -> Response:
        link = self.get_next_link()
        cursor = parse_qs(urlsplit(link).query)["cursor"][0] if link else None
        return Response({"data": data, "has_more": self.has_next, "next": cursor})


def handle_exception(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception hook: translates every exception and returns it in the error shape."""
    error = translate(exc)
    if error is None:
        return None
    response = Response({"error": error.as_dict(request_origin.current().request_id)}, status=error.status)
    for name, value in error_headers(error).items():
        response[name] = value
    return response


def translate(exc: Exception) -> errors.DomainError | None:
    """The DomainError for `exc`; None for a bug, which must stay visible."""
    if isinstance(exc, errors.DomainError):
        return exc
    if (failure := database_failure(exc)) is not None:
        return failure
    if isinstance(exc, rest.ValidationError):
        return errors.InvalidInput(**field_errors(exc.detail))
    if isinstance(exc, rest.Throttled):
        return errors.RateLimited(retry_after=int(getattr(exc, "wait", None) or 1))
    table: list[tuple[type[Exception], type[errors.DomainError]]] = [
        (rest.NotAuthenticated, errors.NotAuthenticated),
        (rest.AuthenticationFailed, errors.TokenInvalid),
        (rest.PermissionDenied, errors.Forbidden),
        (PermissionDenied, errors.Forbidden),
        (rest.NotFound, errors.NotFound),
        (Http404, errors.NotFound),
        (rest.MethodNotAllowed, errors.MethodNotAllowed),
        (rest.UnsupportedMediaType, errors.UnsupportedMediaType),
        (rest.ParseError, errors.InvalidJson),
    ]
    return next((ours() for theirs, ours in table if isinstance(exc, theirs)), None)


def field_errors(detail: Any) -> dict[str, Any]:
    """DRF's nested error details as plain text, keyed by field."""
    if isinstance(detail, dict):
        return {str(field): _plain(problems) for field, problems in detail.items()}
    return {"body": _plain(detail)}


def _plain(problems: Any) -> Any:
    if isinstance(problems, dict):
        return {str(key): _plain(value) for key, value in problems.items()}
    if isinstance(problems, list):
        return [_plain(item) for item in problems]
    return str(problems)


def error_headers(error: errors.DomainError) -> dict[str, str]:
    """Response headers for an error."""
    headers = {}
    if isinstance(error, errors.NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    seconds = error.details.get("retry_after")
    if isinstance(seconds, int | float):
        headers["Retry-After"] = str(math.ceil(seconds))
    if isinstance(error, errors.ShuttingDown | errors.TurnInterrupted):
        headers["Retry-After"] = str(RESTART_SECONDS)
    return headers | refusal_headers(error.details)


def json_error(error: errors.DomainError) -> JsonResponse:
    """The error shape outside DRF: in middleware and Django's handlers."""
    body = {"error": error.as_dict(request_origin.current().request_id)}
    return JsonResponse(body, status=error.status, headers=error_headers(error))
