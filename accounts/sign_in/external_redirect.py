"""Redirects to an issuer by an intermediate page, because the CSP forbids forms that end at another site."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers


class ExternalRedirectMiddleware:
    """`form-action 'self'` applies to redirects too: a form's redirect elsewhere becomes that page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        url = answer.headers.get("Location", "")
        host = urlsplit(url).netloc
        if (
            request.method != "POST"
            or answer.status_code not in {302, 303}
            or host in {"", request.get_host()}
        ):
            return answer
        page = render(request, "socialaccount/login_redirect.html", {"redirect_to": url, "host": host})
        page.cookies = answer.cookies
        add_never_cache_headers(page)
        return page
