"""Reads the JSON that apps send to allauth's routes as strictly as for our own."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from kit.api import json_error
from kit.body_validation import unknown_names
from kit.errors import DomainError, InvalidInput, InvalidJson
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

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Refuses unknown fields by name; allauth would ignore them."""
        known = _known_fields(view, request.method or "") if request.path_info.startswith(APPS) else set()
        if not known or not request.body:
            return None
        unknown = unknown_names(parse_object(request.body), sorted(known))
        return json_error(InvalidInput(**unknown)) if unknown else None


def _expect_sound(body: bytes) -> None:
    if not is_sound(parse_object(body)):
        raise InvalidJson


def _known_fields(view: Callable[..., Any], method: str) -> set[str]:
    """The fields of the input that allauth's view declares; empty if it declares none."""
    declared = getattr(getattr(view, "view_class", None), "input_class", None)
    chosen = declared.get(method) if isinstance(declared, dict) else declared
    return set(getattr(chosen, "base_fields", ()))
