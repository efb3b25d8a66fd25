"""Lets the pages of chosen origins call the API with a bearer token, never with a cookie.

The only module concerned with CORS. It surrounds the whole ASGI application, because Django, consumers and
the checks before them all send responses. Protocol: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BEARER_ROUTES = "/v1/"
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
PREFLIGHT_SECONDS = b"600"  # how long a browser may cache the answer to a preflight
LONGEST_REQUESTED = 2_000  # bytes of Access-Control-Request-Headers
USUAL_HEADERS = (
    b"authorization, content-type, idempotency-key, last-event-id, x-api-key, x-workspace, anthropic-version"
)
HEADER_NAMES = re.compile(rb"[a-z0-9-]{1,100}(?:[ \t]*,[ \t]*[a-z0-9-]{1,100})*")
# A response's own headers that a page may read: these, and all that begin with one of the prefixes.
EXPOSED = (
    b"x-request-id",
    b"retry-after",
    b"x-should-retry",
    b"content-disposition",
    b"www-authenticate",
    *(
        f"x-ratelimit-{value}-{metric}".encode()
        for metric in ("requests", "tokens")
        for value in ("limit", "remaining", "reset")
    ),
)
EXPOSED_PREFIXES = (b"x-ratelimit-", b"x-switchyard-", b"anthropic-", b"openai-", b"request-id")
ORIGIN = re.compile(r"null|file://|[a-z][a-z0-9+.-]*://[^\sA-Z/?#@*,]+")


def checked_origins(origins: list[str]) -> list[str]:
    """The setting's items; ImproperlyConfigured for anything that no browser sends as an origin."""
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise ImproperlyConfigured(
                f"CORS_ALLOWED_ORIGINS has {origin!r}. List origins as browsers send them, such as"
                " https://app.example.com, http://localhost:5173, app://desktop or null: in lower case,"
                " without a path, and without wildcards."
            )
    return origins


class CrossOriginAccess:
    """ASGI middleware: answers preflights, and adds CORS headers to the API's responses.

    Browsers block all other pages, since those get no such header. Cookies are ignored in a cross-origin
    request, and `Access-Control-Allow-Credentials` is never sent.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = bool(settings.CORS_ALLOWED_ORIGINS) and scope["path"].startswith(BEARER_ROUTES)
        if scope["type"] != "http" or not is_open:
            await self.application(scope, receive, send)
            return
        origin = _value(scope["headers"], b"origin")
        if origin.decode("latin-1") not in settings.CORS_ALLOWED_ORIGINS:
            await self.application(scope, receive, lambda message: send(_started(message, _varied)))
            return
        if is_preflight(scope):
            await _answer_preflight(scope, origin, send)
            return
        without_cookies = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]
        await self.application(
            {**scope, "headers": without_cookies},
            receive,
            lambda message: send(_started(message, lambda headers: _shared(headers, origin))),
        )


def is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and bool(_value(scope["headers"], b"access-control-request-method"))


async def _answer_preflight(scope: Scope, origin: bytes, send: Send) -> None:
    requested = _value(scope["headers"], b"access-control-request-headers").lower().strip()
    is_valid = len(requested) <= LONGEST_REQUESTED and HEADER_NAMES.fullmatch(requested)
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", requested if is_valid else USUAL_HEADERS),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _started(message: dict[str, Any], change: Callable[[Headers], Headers]) -> dict[str, Any]:
    """The message, with changed headers if it begins the response."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": change(list(message.get("headers", [])))}


def _shared(headers: Headers, origin: bytes) -> Headers:
    exposed = b", ".join(_exposed(name.lower() for name, _ in headers))
    return [
        *_varied(headers),
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", exposed),
    ]


def _exposed(sent: Iterable[bytes]) -> list[bytes]:
    """The header names in full: browsers do not understand prefixes."""
    return list(dict.fromkeys([*EXPOSED, *(name for name in sent if name.startswith(EXPOSED_PREFIXES))]))


def _varied(headers: Headers) -> Headers:
    """With `Vary: Origin`, even for other origins: a cache must not serve theirs to an allowed one."""
    others = [value for name, value in headers if name.lower() == b"vary"]
    rest = [(name, value) for name, value in headers if name.lower() != b"vary"]
    return [*rest, (b"vary", b", ".join([*others, b"Origin"]))]


def _value(headers: Headers, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name.lower() == wanted), b"")
