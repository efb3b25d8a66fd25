"""Lets libraries with their own HTTP client use the guarded one: the MCP SDK uses httpx2."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import httpx2

from kit import outbound
from kit.errors import DomainError, UpstreamTooLarge

BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError)
HOP_BY_HOP = {b"content-length", b"transfer-encoding", b"content-encoding", b"connection"}
OURS = {"host", "accept-encoding"}
MOST_REQUESTS = 100  # per session; a server can make a client repeat requests without end
MOST_PIECES = 40_000  # of JSON and events, in all responses: parsing many tiny ones delays all other work
PIECES = (b"{", b"[", b"\n\n", b"\n\r")
GOODBYE_SECONDS = 1.0  # to end a session, even if its caller must not wait any longer


class GuardedSDKTransport(httpx2.AsyncBaseTransport):
    """Sends every request through `kit.outbound`; responses of more than `most_bytes` in total are cut off.

    A library may hide the cause in its own errors, so the transport stores our first refusal in `refusal`,
    the last error status in `status`, its request body in `refused_body` and the server's WWW-Authenticate
    in `challenge`.

    With `listens` False, no stream for unsolicited server messages is opened.
    """

    def __init__(self, *, most_bytes: int, seconds: float, listens: bool = True) -> None:
        self.most_bytes, self.seconds, self.listens = most_bytes, seconds, listens
        self._requests = self._read = self._pieces = 0
        self.refusal: DomainError | None = None
        self.is_broken = False
        self.status = 0
        self.refused_body = b""
        self.challenge = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            return await self._say_goodbye(request)
        if request.method == "GET" and not self.listens and "last-event-id" not in request.headers:
            return httpx2.Response(405)
        return await self._ask(request)

    async def _say_goodbye(self, request: httpx2.Request) -> httpx2.Response:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                answer = await self._ask(request)
                await answer.aclose()
        except TimeoutError as exc:
            raise httpx2.ReadTimeout("no goodbye", request=request) from exc
        return httpx2.Response(answer.status_code)

    def count(self, chunk: bytes) -> None:
        """Counts a chunk; raises when the limits are exceeded."""
        self._read += len(chunk)
        self._pieces += sum(chunk.count(piece) for piece in PIECES)
        if self._read > self.most_bytes or self._pieces > MOST_PIECES:
            self.refusal = self.refusal or UpstreamTooLarge(most_bytes=self.most_bytes)
            raise httpx2.ReadError("too large")

    async def _ask(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            self.refusal = self.refusal or UpstreamTooLarge(most_bytes=self.most_bytes)
            raise httpx2.ConnectError("too many requests", request=request)
        try:
            client = outbound.client()
            asked = client.build_request(
                request.method,
                str(request.url),
                headers=[pair for pair in request.headers.items() if pair[0].lower() not in OURS],
                content=body,
                timeout=httpx.Timeout(self.seconds, connect=5.0),
            )
            answer = await client.send(asked, stream=True)
        except DomainError as exc:
            self.refusal = self.refusal or exc
            raise httpx2.ConnectError("refused", request=request) from exc
        except BROKEN as exc:
            self.is_broken = True
            raise httpx2.ConnectError("no connection", request=request) from exc
        if answer.status_code >= 400 and request.method != "DELETE":
            self.status, self.refused_body = answer.status_code, body
            self.challenge = answer.headers.get("www-authenticate", "")
        headers = [pair for pair in answer.headers.raw if pair[0].lower() not in HOP_BY_HOP]
        return httpx2.Response(answer.status_code, headers=headers, stream=_Bounded(self, answer))


class _Bounded(httpx2.AsyncByteStream):
    """The response's bytes, up to the transport's limits."""

    def __init__(self, transport: GuardedSDKTransport, answer: httpx.Response) -> None:
        self._transport, self._answer = transport, answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.aiter_raw():
                self._transport.count(chunk)
                yield chunk
        except BROKEN as exc:
            self._transport.is_broken = True
            raise httpx2.ReadError("broken off") from exc

    async def aclose(self) -> None:
        await self._answer.aclose()


def guarded_client(transport: GuardedSDKTransport, headers: dict[str, str] | None = None) -> Any:
    """A client for the library; it follows no redirects, because they would leak credentials."""
    return httpx2.AsyncClient(transport=transport, headers=headers, trust_env=False, follow_redirects=False)
