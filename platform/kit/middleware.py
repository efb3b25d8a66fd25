"""Gives every Django request an id, and a client address that the database accepts."""

from collections.abc import Callable

from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse

from kit import request_origin


class RequestMiddleware:
    """Must be first, so that every response, including error pages, has `x-request-id`."""

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
        _set_address(request, origin.address)
        request.id = origin.request_id  # type: ignore[attr-defined]  # error pages show it
        response: HttpResponse
        if "\0" in request.path_info:  # PostgreSQL rejects NUL, and no URL of ours has it
            response = response_for_exception(request, Http404())
        else:
            response = self.get_response(request)
        response["x-request-id"] = origin.request_id
        return response


def _set_address(request: HttpRequest, address: str | None) -> None:
    """allauth reads the address itself, and would count all IPv4-mapped IPv6 addresses as one network."""
    if address is None:
        return
    if settings.BEHIND_PROXY and request.META.get("HTTP_X_FORWARDED_FOR"):
        request.META["HTTP_X_FORWARDED_FOR"] = address
    else:
        request.META["REMOTE_ADDR"] = address
