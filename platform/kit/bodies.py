"""Refuses request bodies that are too large or too slow, in ASGI, before anything buffers them."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from django.conf import settings

from kit import request_origin
from kit.api import error_headers
from kit.errors import BodyTooSlow, DomainError, PayloadTooLarge, RateLimited
from kit.http_consumer import SECURITY_HEADERS, begin_request
from kit.networks import network_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SLOWEST_BYTES_PER_SECOND = 50_000  # for a large body, in addition to BODY_SECONDS
# Per network. A body counts if it arrives in several pieces, or not within a moment.
MOST_OPEN_BODIES = 100
MOST_OPEN_UPLOADS = 16  # bodies that are, or may become, larger than MAX_BODY_BYTES
MOMENT_SECONDS = 1.0
# A client that is still sending sees the error only if we keep reading: up to this much, for this long.
DRAIN_BYTES = 20_000_000
DRAIN_SECONDS = 3.0


class BodyRefused(Exception):
    """Raised from `receive` into an application that is still reading the body."""

    def __init__(self, error: DomainError) -> None:
        super().__init__(error.code)
        self.error = error


class BoundedBodies:
    """Wraps an ASGI application; only HTTP requests are bounded.

    `most_bytes(path)` is the largest body that a path accepts. `status_of` maps an error to its status, for
    clients that retry some statuses. `is_open` is False if the only client is our engine, which may send
    many bodies concurrently.
    """

    def __init__(
        self,
        application: Any,
        *,
        most_bytes: Callable[[str], int],
        status_of: Callable[[DomainError], int] = lambda error: error.status,
        is_open: bool = True,
    ) -> None:
        self.application, self.most_bytes, self.status_of = application, most_bytes, status_of
        self.open_bodies = OpenBodies() if is_open else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope.get("headers", [])}
        if scope["type"] != "http" or not _has_body(headers):
            await self.application(scope, receive, send)
            return
        has_started = False

        async def tracking_send(message: dict[str, Any]) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._serve(scope, headers, receive, tracking_send)
        except BodyRefused as refused:
            if not has_started:
                await self._refuse(scope, refused.error, receive, send)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        most, declared = self.most_bytes(scope["path"]), declared_length(headers)
        if declared is not None and declared > most:
            raise BodyRefused(PayloadTooLarge(most_bytes=most))
        size = most if declared is None else declared
        slot = self.open_bodies.slot(_network_of(scope, headers), size) if self.open_bodies else None
        reader = _BoundedReader(receive, most, deadline_seconds(declared, most), slot)
        try:
            await self.application(scope, reader.receive, send)
        finally:
            reader.leave()

    async def _refuse(self, scope: Scope, error: DomainError, receive: Receive, send: Send) -> None:
        """Responds, then keeps reading for a moment before closing: a client that is cut off while sending
        would see a broken connection instead of the response."""
        origin = begin_request(scope, {n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]})
        body, fields = refusal_of(error, origin)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        status = self.status_of(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class OpenBodies:
    """Counts the unfinished bodies of each network."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, bool]] = Counter()

    def slot(self, network: str, size: int) -> "OpenBody":
        return OpenBody(self._open, (network, size > settings.MAX_BODY_BYTES))


class OpenBody:
    """One body's slot in its network's share, taken once the body turns out to be slow."""

    def __init__(self, open_bodies: Counter[tuple[str, bool]], key: tuple[str, bool]) -> None:
        self._open, self._key = open_bodies, key
        self._is_taken = False

    def take(self) -> None:
        """Raises BodyRefused if the network's share is used up."""
        if self._is_taken:
            return
        _, is_upload = self._key
        if self._open[self._key] >= (MOST_OPEN_UPLOADS if is_upload else MOST_OPEN_BODIES):
            text = "Too many unfinished uploads from your network. Try again shortly."
            raise BodyRefused(RateLimited(text, retry_after=1))
        self._open[self._key] += 1
        self._is_taken = True

    def leave(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._open[self._key] -= 1
            if not self._open[self._key]:
                del self._open[self._key]


class _BoundedReader:
    """Passes messages on until the body is too large or too late."""

    def __init__(self, receive: Receive, most: int, seconds: float, slot: OpenBody | None) -> None:
        self._receive, self._left, self._slot = receive, most, slot
        self._now = asyncio.get_running_loop().time
        self._moment, self._deadline = self._now() + MOMENT_SECONDS, self._now() + seconds
        self._is_complete = False

    def leave(self) -> None:
        if self._slot:
            self._slot.leave()

    async def receive(self) -> dict[str, Any]:
        if self._is_complete:
            return await self._receive()
        message = await self._next()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyRefused(PayloadTooLarge())
        if message.get("more_body"):
            self._take_slot()
        else:
            self._is_complete = True
            self.leave()
        return message

    async def _next(self) -> dict[str, Any]:
        """Raises BodyRefused if the body is late. The first wait is short, to count slow bodies."""
        for until in (self._moment, self._deadline):
            try:
                async with asyncio.timeout_at(min(until, self._deadline)):
                    return await self._receive()
            except TimeoutError:
                self._take_slot()
        raise BodyRefused(BodyTooSlow())

    def _take_slot(self) -> None:
        if self._slot:
            self._slot.take()


def refusal_of(error: DomainError, origin: request_origin.RequestOrigin) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the response; the connection closes, because the rest of the body is not read."""
    body = json.dumps({"error": error.as_dict(origin.request_id)}).encode()
    return body, {
        **SECURITY_HEADERS,
        **error_headers(error),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "x-request-id": origin.request_id,
    }


def declared_length(headers: dict[bytes, bytes]) -> int | None:
    text = headers.get(b"content-length", b"")
    return int(text[:20]) if text.isdigit() else None


def deadline_seconds(declared: int | None, most: int) -> float:
    """How long a body may take: a base, plus time for its size."""
    expected = most if declared is None else min(declared, most)
    return float(settings.BODY_SECONDS + expected / SLOWEST_BYTES_PER_SECOND)


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _network_of(scope: Scope, headers: dict[bytes, bytes]) -> str:
    peer = (scope.get("client") or [None])[0]
    forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    return network_of(
        request_origin.forwarded_address(peer, forwarded, behind_proxy=settings.BEHIND_PROXY) or ""
    )


async def _drain(receive: Receive) -> None:
    left = DRAIN_BYTES
    while left > 0:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
        left -= len(message.get("body", b""))
