"""The way out to an issuer: a page that leads on, for the CSP lets no form end at another site."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers


class LeavingMiddleware:
    """`form-action 'self'` counts for redirects too: a form's redirect elsewhere becomes such a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        place = answer.headers.get("Location", "")
        host = urlsplit(place).netloc
        if (
            request.method != "POST"
            or answer.status_code not in {302, 303}
            or host in {"", request.get_host()}
        ):
            return answer
        leading = render(request, "socialaccount/login_redirect.html", {"redirect_to": place, "host": host})
        leading.cookies = answer.cookies
        add_never_cache_headers(leading)
        return leading
