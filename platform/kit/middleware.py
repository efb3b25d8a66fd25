"""Around every Django request: its id, and an address that the database can hold."""

from collections.abc import Callable

from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse

from kit import request_origin


class RequestMiddleware:
    """Stands first, so that every answer, also an error page, carries `x-request-id`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = request_origin.begin(
            request.META.get("HTTP_X_REQUEST_ID"),
            request_origin.forwarded_address(
                request.META.get("REMOTE_ADDR"),
                request.META.get("HTTP_X_FORWARDED_FOR", ""),
                behind_proxy=settings.BEHIND_PROXY,
            ),
        )
        _tell_address(request, origin.address)
        request.id = origin.request_id  # type: ignore[attr-defined]  # error pages show it
        response: HttpResponse
        if "\0" in request.path_info:  # PostgreSQL cannot look for it: nothing of ours has such an address
            response = response_for_exception(request, Http404())
        else:
            response = self.get_response(request)
        response["x-request-id"] = origin.request_id
        return response


def _tell_address(request: HttpRequest, address: str | None) -> None:
    """allauth reads it by itself, and would count all IPv4 that is mapped into IPv6 as one network."""
    if address is None:
        return
    if settings.BEHIND_PROXY and request.META.get("HTTP_X_FORWARDED_FOR"):
        request.META["HTTP_X_FORWARDED_FOR"] = address
    else:
        request.META["REMOTE_ADDR"] = address
