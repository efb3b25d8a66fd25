"""Lends the guarded client to libraries that bring an HTTP client of their own: the MCP SDK speaks httpx2."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import httpx2

from kit import outbound
from kit.errors import DomainError, UpstreamTooLarge

BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError)
HOP_BY_HOP = {"content-length", "transfer-encoding", "content-encoding", "connection"}


class GuardedSDKTransport(httpx2.AsyncBaseTransport):
    """Every request goes through `kit.outbound`; an answer beyond `most_bytes` breaks off.

    A library may bury what went wrong under its own errors: the first refusal of ours is kept in `refusal`,
    the last status that was not a success in `status`, with what was sent in `refused_body`.
    """

    def __init__(self, *, most_bytes: int, seconds: float) -> None:
        self.most_bytes, self.seconds = most_bytes, seconds
        self.refusal: DomainError | None = None
        self.is_broken = False
        self.status = 0
        self.refused_body = b""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        try:
            client = outbound.client()
            asked = client.build_request(
                request.method,
                str(request.url),
                headers=[(name, value) for name, value in request.headers.items() if name.lower() != "host"],
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
        if answer.status_code >= 400:
            self.status, self.refused_body = answer.status_code, body
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        return httpx2.Response(answer.status_code, headers=headers, stream=_Bounded(self, answer))


class _Bounded(httpx2.AsyncByteStream):
    """The answer's bytes, decoded, up to the transport's bound."""

    def __init__(self, transport: GuardedSDKTransport, answer: httpx.Response) -> None:
        self._transport, self._answer = transport, answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        try:
            async for chunk in self._answer.aiter_bytes():
                read += len(chunk)
                if read > self._transport.most_bytes:
                    self._transport.refusal = UpstreamTooLarge(most_bytes=self._transport.most_bytes)
                    raise httpx2.ReadError("too large")
                yield chunk
        except BROKEN as exc:
            self._transport.is_broken = True
            raise httpx2.ReadError("broken off") from exc

    async def aclose(self) -> None:
        await self._answer.aclose()


def guarded_client(transport: GuardedSDKTransport, headers: dict[str, str] | None = None) -> Any:
    """A client of the library's own kind; redirects are not followed, for they would carry credentials."""
    return httpx2.AsyncClient(transport=transport, headers=headers, trust_env=False, follow_redirects=False)
