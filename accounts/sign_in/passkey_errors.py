"""Treats unreadable passkey responses as wrong ones; they are untrusted input."""

from collections.abc import Callable

import structlog
from allauth.core.internal.httpkit import is_headless_request
from allauth.headless.internal.restkit.response import ErrorResponse
from allauth.mfa.adapter import get_adapter
from cryptography.exceptions import InvalidSignature
from django.contrib import messages
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

log = structlog.get_logger(__name__)

UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    OverflowError,
    InvalidSignature,
    DataError,
)
THEIRS = ("allauth.mfa.", "allauth.headless.mfa.")


class PasskeyErrorsMiddleware:
    """allauth reads credentials with fido2, which raises many kinds of errors; they become a response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        view = request.resolver_match.func if request.resolver_match else None
        is_theirs = getattr(view, "__module__", "").startswith(THEIRS)
        if request.method == "GET" or not is_theirs or not isinstance(exception, UNREADABLE):
            return None
        log.warning("passkey.unreadable", error=type(exception).__name__)
        wrong = get_adapter().validation_error("incorrect_code")
        if is_headless_request(request):
            refusal: HttpResponse = ErrorResponse(request, exception=wrong)
            return refusal
        messages.error(request, wrong.messages[0])
        return redirect(request.path)
