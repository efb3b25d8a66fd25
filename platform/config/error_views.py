"""Django's error handlers: JSON for the API, templates for pages."""

import sys
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from gateway.api.openai_wire import error_body
from gateway.api.unoffered_routes import unoffered_text
from kit import errors, request_origin
from kit.api import json_error
from kit.postgresql.failures import database_failure


def _page(render: Callable[..., HttpResponse], *args: object) -> HttpResponse:
    """Renders a page and gives the connection back: under ASGI no one else cleans up this thread."""
    try:
        return render(*args)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/v1/", "/_allauth/"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return (
        json_error(errors.NotFound())
        if _is_api(request)
        else _page(defaults.page_not_found, request, exception)
    )


@csrf_exempt  # changes nothing, and a 403 would not be JSON
def unknown_route(request: HttpRequest) -> HttpResponse:
    """All unknown routes of the API; `/egress` is only on the engines' own port."""
    text = unoffered_text(request.path_info.rstrip("/"))
    if text is None:
        return json_error(errors.NotFound())
    error = errors.NotFound(text)  # in the shape that OpenAI's clients expect
    return JsonResponse(error_body(error, request_origin.current().request_id), status=error.status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request) and isinstance(exception, DisallowedHost):
        return json_error(errors.HostUnknown())
    return (
        json_error(errors.InvalidInput())
        if _is_api(request)
        else _page(defaults.bad_request, request, exception)
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is being handled: a database failure is an outage, not a bug."""
    problem = sys.exc_info()[1]
    failure = database_failure(problem) if problem else None
    if _is_api(request):
        return json_error(failure or errors.InternalError())
    if failure is None:
        return _page(defaults.server_error, request)
    page = defaults.server_error(request, template_name="503.html")
    page.status_code = failure.status
    page["Retry-After"] = str(failure.details["retry_after"])
    return page
