"""What allauth's routes change is one transaction with its line in the audit."""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse

THEIRS = ("/accounts/", "/_allauth/")


class WholeChangesMiddleware:
    """allauth writes step by step; whatever fails in the middle leaves nothing behind."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in {"GET", "HEAD"} or not request.path_info.startswith(THEIRS):
            return self.get_response(request)
        with transaction.atomic():
            answer = self.get_response(request)
            if answer.status_code >= 500:
                transaction.set_rollback(True)
        return answer
