"""Reads the JSON that apps send to allauth's routes as strictly as for our own."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from kit.api import json_error
from kit.errors import DomainError, InvalidJson
from kit.json_input import is_sound, parse_object

APPS = "/_allauth/"


class AppBodiesMiddleware:
    """allauth accepts any JSON; endless nesting and lone surrogates would fail deep inside it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(APPS) and request.body:
            try:
                _expect_sound(request.body)
            except DomainError as problem:
                return json_error(problem)
        return self.get_response(request)


def _expect_sound(body: bytes) -> None:
    if not is_sound(parse_object(body)):
        raise InvalidJson
