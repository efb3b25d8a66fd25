"""Base of the HTTP consumers: Django's middleware does not run for them, so this class does its work."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import structlog
from channels.generic.http import AsyncHttpConsumer
from django.conf import settings

from kit import request_origin
from kit.api import error_headers
from kit.content_negotiation import refuse_compressed
from kit.errors import (
    DomainError,
    InternalError,
    MethodNotAllowed,
    PayloadTooLarge,
    ShuttingDown,
    UnsupportedMediaType,
)
from kit.json_input import parse_object
from kit.postgresql.failures import database_failure

log = structlog.get_logger(__name__)
T = TypeVar("T")
PING_SECONDS = 10.0
CUT_OFF_SECONDS = 1.0  # to send the last bytes to a client that is cut off, which may not be reading
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
}
Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client closed its socket, so no response can be sent."""


class HttpConsumer(AsyncHttpConsumer):
    """Checks method and body size, sets the request id and error shape, and detects that the client left."""

    method: ClassVar[str] = "POST"
    ping_seconds: ClassVar[float] = PING_SECONDS
    admits_first: ClassVar[bool] = False  # authenticate before reading the body, which may be large

    @property
    def most_bytes(self) -> int:
        """The largest accepted body."""
        return settings.MAX_BODY_BYTES

    async def admit(self, body: bytes) -> None:
        """Authenticates the caller, or raises; `handle` does the rest."""

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.scope, self.base_send = scope, send
        self.header = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.origin = begin_request(scope, self.header)
        self.started = False
        self.is_streaming = False
        self.response_headers: dict[str, str] = {}  # added to the response, success or error
        try:
            refusal = await self._refusal_in_advance() if self.admits_first else None
            body = await self._read_body(receive, keep=refusal is None)
            self.gone = asyncio.create_task(_wait_for_disconnect(receive))
            try:
                await (self.send_error(refusal) if refusal else self._answer(body))
            finally:
                self.gone.cancel()
        except ClientGone:
            return
        except asyncio.CancelledError:  # the server's grace period is over
            await self._end_cut_off()

    async def _refusal_in_advance(self) -> DomainError | None:
        """The reason to refuse the request regardless of its body, or None."""
        try:
            if self.scope["method"] != self.method:
                raise MethodNotAllowed
            await self.admit(b"")
        except DomainError as error:
            return error
        except Exception as exc:
            if (failure := database_failure(exc)) is None:
                log.exception("consumer failed", path=self.scope["path"])
            return failure or InternalError()
        return None

    async def _answer(self, body: bytes) -> None:
        try:
            if self.scope["method"] != self.method:
                raise MethodNotAllowed
            if len(body) > self.most_bytes:
                raise PayloadTooLarge
            if not self.admits_first:
                await self.admit(body)
            await self.handle(body)
        except DomainError as error:
            await self.send_error(error)
        except (ClientGone, ConnectionError):
            raise ClientGone from None
        except Exception as exc:
            failure = database_failure(exc)
            if failure is None:
                log.exception("consumer failed", path=self.scope["path"])
            await self.send_error(failure or InternalError())

    def json_body(self, body: bytes) -> dict[str, Any]:
        refuse_compressed(self.header.get("content-encoding", ""))
        kind = self.header.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UnsupportedMediaType
        return parse_object(body)

    async def _read_body(
        self, receive: Callable[[], Awaitable[dict[str, Any]]], *, keep: bool = True
    ) -> bytes:
        """Stores at most one byte over the limit; reads and drops the rest, so that the response arrives."""
        body, most = bytearray(), self.most_bytes + 1 if keep else 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if len(body) < most:
                body += message.get("body", b"")[: most - len(body)]
            if not message.get("more_body"):
                return bytes(body)

    async def or_gone(self, work: Awaitable[T]) -> T:
        """The result of `work`; ClientGone, and `work` is cancelled, if the client leaves first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:  # a generator that it reads can be closed only once it has ended
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def send_json(
        self, status: int, data: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(data).encode()
        await self.send_start(status, {"Content-Type": "application/json", **(headers or {})})
        await self.send_body(body)

    async def send_error(self, error: DomainError) -> None:
        """Sends the error shape; impossible once a stream has begun, because the status was sent."""
        if self.started:
            raise ClientGone
        await self.send_json(error.status, self.error_body(error), error_headers(error))

    async def _end_cut_off(self) -> None:
        """Ends the response with an error if that can still be sent; a partial body stays partial."""
        error = self.cut_off_error()
        with suppress(Exception):
            async with asyncio.timeout(CUT_OFF_SECONDS):
                if not self.started:
                    await self.send_error(error)
                elif self.is_streaming and (last := self.cut_off_chunk(error)):
                    await self.send_body(last)

    def cut_off_error(self) -> DomainError:
        """The error for a client that is cut off because the server stops."""
        return ShuttingDown()

    def cut_off_chunk(self, error: DomainError) -> bytes:
        """The last chunk of a stream that is cut off; if empty, the client sees a broken connection."""
        return b""

    def error_body(self, error: DomainError) -> dict[str, Any]:
        return {"error": error.as_dict(self.origin.request_id)}

    async def send_stream(self, chunks: AsyncIterator[bytes], *, ping: bytes = b": ping\n\n") -> None:
        """Sends an event stream chunk by chunk, with pings while idle; stops when the client leaves."""
        await self.send_start(
            200,
            {
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",
            },
        )
        self.is_streaming = True
        await self.send_body(b"", more_body=True)
        pending = asyncio.ensure_future(anext(chunks, None))
        try:
            while True:
                await asyncio.wait(
                    {pending, self.gone}, timeout=self.ping_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if self.gone.done():
                    raise ClientGone
                if not pending.done():
                    await self.send_body(ping, more_body=True)
                    continue
                chunk = pending.result()
                if chunk is None:
                    break
                await self.send_body(chunk, more_body=True)
                pending = asyncio.ensure_future(anext(chunks, None))
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        self.is_streaming = False
        await self.send_body(b"")

    async def send_start(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        fields = {**SECURITY_HEADERS, **self.response_headers, **headers}
        named: Headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        named.append((b"x-request-id", self.origin.request_id.encode()))
        await self.send_headers(status=status, headers=named)


async def _wait_for_disconnect(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def begin_request(scope: dict[str, Any], header: dict[str, str]) -> request_origin.RequestOrigin:
    """Sets the request id and the client's address."""
    peer = (scope.get("client") or [None])[0]
    address = request_origin.forwarded_address(
        peer, header.get("x-forwarded-for", ""), behind_proxy=settings.BEHIND_PROXY
    )
    return request_origin.begin(header.get("x-request-id"), address)
