"""Bounds the work that one connection can cause in uvicorn's HTTP parser, which parses all input in one step.

A body in one-byte chunks costs thousands of times its size, pipelined requests pile up in memory, and a
request whose headers never end would stay open forever. Such connections are closed.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_LINES = 4_000  # of a chunked body with tiny chunks; each chunk is two lines
LEAST_BYTES_A_LINE = 32
MOST_AHEAD = 256 * 1024  # bytes waiting to be parsed: pipelined requests
HEAD_SECONDS = 30.0  # until a request's headers are complete
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_receive, _connect = H11Protocol.data_received, H11Protocol.connection_made


def bound_uvicorn() -> None:
    """Bounds all connections of this process; uvicorn has no settings for this."""
    H11Protocol.data_received = data_received  # type: ignore[method-assign]
    H11Protocol.connection_made = connection_made  # type: ignore[method-assign]


def connection_made(self: Any, transport: asyncio.Transport) -> None:
    _connect(self, transport)
    self.counted_cycle, self.lines, self.wire_bytes = None, 0, 0
    self.head_timer = self.loop.call_later(HEAD_SECONDS, _close_without_request, self)


def data_received(self: Any, data: bytes) -> None:
    if _is_between_requests(self):
        end = END_OF_HEAD.search(data)
        if end and end.end() < len(data):  # the headers decide how the body is checked
            _receive(self, data[: end.end()])
            data = data[end.end() :]
    if self.transport.is_closing():
        return
    if _has_tiny_chunks(self, data):
        self.transport.abort()
        return
    _receive(self, data)
    if len(self.conn._receive_buffer) > MOST_AHEAD:
        self.transport.abort()


def _is_between_requests(self: Any) -> bool:
    return self.cycle is None or self.cycle.response_complete


def _has_tiny_chunks(self: Any, data: bytes) -> bool:
    if self.cycle is None or not any(name == b"transfer-encoding" for name, _ in self.headers):
        return False
    if self.cycle is not self.counted_cycle:
        self.counted_cycle, self.lines, self.wire_bytes = self.cycle, 0, 0
    self.lines += data.count(b"\n")
    self.wire_bytes += len(data)
    return bool(self.lines > MOST_LINES and self.wire_bytes < self.lines * LEAST_BYTES_A_LINE)


def _close_without_request(self: Any) -> None:
    """Closes it unless it became a WebSocket or had a request, which have limits of their own."""
    if self.cycle is None and self.transport.get_protocol() is self:
        self.transport.close()
