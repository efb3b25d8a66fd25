"""Body limits for daphne, which buffers a whole body before it calls the ASGI application."""

from collections.abc import Callable
from typing import Any

import daphne.http_protocol
from daphne.http_protocol import WebRequest
from twisted.internet import reactor

from kit import request_origin
from kit.bodies import DRAIN_BYTES, DRAIN_SECONDS, deadline_seconds, refusal_of
from kit.errors import BodyTooSlow, DomainError, PayloadTooLarge


def bound_daphne(*, most_bytes: Callable[[str], int]) -> None:
    """Limits bodies to `most_bytes(path)` in all daphne servers of this process."""

    class BoundedRequest(WebRequest):
        """Twisted calls `gotLength` after the headers, and `handleContentChunk` for each piece."""

        most = left = 0
        is_refused = False
        timer: Any = None

        def gotLength(self, length: int | None) -> None:
            path = self.channel._path.partition(b"?")[0].decode("latin-1")
            self.most = self.left = most_bytes(path)
            super().gotLength(0 if length is None or length > self.most else length)
            if length is not None and length > self.most:
                self._refuse(PayloadTooLarge(most_bytes=self.most))
            elif length != 0:
                self._start_timer(deadline_seconds(length, self.most), self._refuse, BodyTooSlow())

        def handleContentChunk(self, data: bytes) -> None:
            self.left -= len(data)
            if self.is_refused:
                if self.left < -DRAIN_BYTES:
                    self.channel.transport.abortConnection()
            elif self.left < 0:
                self._refuse(PayloadTooLarge(most_bytes=self.most))
            else:
                super().handleContentChunk(data)

        def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
            self._stop_timer()
            if self.is_refused:
                self.channel.transport.loseConnection()
            else:
                super().requestReceived(command, path, version)

        def connectionLost(self, reason: Any) -> None:
            self._stop_timer()
            super().connectionLost(reason)

        def _start_timer(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
            later: Any = reactor
            self.timer = later.callLater(seconds, act, *args)

        def _stop_timer(self) -> None:
            if self.timer is not None and self.timer.active():
                self.timer.cancel()

        def _refuse(self, error: DomainError) -> None:
            """Responds below Twisted's HTTP layer, which only answers complete requests, and keeps reading
            for a moment, so that a client that is still sending can read the response."""
            self._stop_timer()
            self.is_refused = True
            body, headers = refusal_of(error, request_origin.begin(None, None))
            lines = [f"HTTP/1.1 {error.status} Refused", *(f"{n}: {v}" for n, v in headers.items())]
            transport = self.channel.transport
            transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            transport.loseWriteConnection()
            self._start_timer(DRAIN_SECONDS, transport.abortConnection)

    daphne.http_protocol.WebRequest = BoundedRequest
