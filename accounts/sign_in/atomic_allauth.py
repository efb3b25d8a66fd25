"""Makes each change by allauth's routes one transaction with its audit entry."""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse

THEIRS = ("/accounts/", "/_allauth/")
OURS = ("/accounts/profile/",)  # reads a picture for seconds, before its own transaction


class AtomicAllauthMiddleware:
    """allauth writes step by step; a failure in the middle leaves nothing behind."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _changes(request):
            return self.get_response(request)
        with transaction.atomic():
            answer = self.get_response(request)
            if answer.status_code >= 500:
                transaction.set_rollback(True)
        return answer


def _changes(request: HttpRequest) -> bool:
    """An issuer's callback is a GET, but signs someone in or up."""
    is_callback = request.path_info.endswith("/callback/")
    is_read = request.method in {"GET", "HEAD"} and not is_callback
    return request.path_info.startswith(THEIRS) and request.path_info not in OURS and not is_read
