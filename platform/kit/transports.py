"""httpx's transport over aiohttp, with separate errors for our own limits and the server's faults."""

import asyncio
import errno
from contextvars import ContextVar
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from kit.errors import AtCapacity

POOL_SECONDS = 10.0  # how long a request waits for a free connection; less if its own timeout is short
POOL_SHARE = 0.25  # of the request's own timeout
SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
POOL_FULL = "Too many connections to this server are open. Try again shortly."
NO_SOCKETS = "This server has no connections left. Try again shortly."


def is_shortage(error: BaseException | None) -> bool:
    """Whether the system had no descriptor or memory for a socket, whatever the server."""
    return isinstance(error, OSError) and error.errno in SHORTAGES


class _Queue:
    """The total time that one request may wait for a free connection."""

    def __init__(self, seconds: float) -> None:
        self.limit = asyncio.timeout(None)
        self._seconds = seconds
        self._until: float | None = None

    def enter(self) -> None:
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        self.limit.reschedule(self._until)

    def leave(self) -> None:
        self.limit.reschedule(None)


_queue: ContextVar[_Queue] = ContextVar("queue")


async def _enter_queue(*_: Any) -> None:
    _queue.get().enter()


async def _leave_queue(*_: Any) -> None:
    _queue.get().leave()


def open_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """A session without cookies that reports to `CandidTransport` when a request waits for a connection."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_queued_start.append(_enter_queue)
    trace.on_connection_queued_end.append(_leave_queue)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace]
    )


class CandidTransport(AiohttpTransport):
    """Raises AtCapacity if all our connections stay in use, or the process is out of descriptors.

    aiohttp has one timeout for waiting and connecting, and one error for both. The session must come from
    `open_session`.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        own_limit = request.extensions.get("timeout", {}).get("pool")
        queue = _Queue(POOL_SECONDS if own_limit is None else min(POOL_SECONDS, own_limit * POOL_SHARE))
        token = _queue.set(queue)
        try:
            async with queue.limit:
                return await super().handle_async_request(request)
        except TimeoutError as exc:
            if queue.limit.expired():
                raise AtCapacity(POOL_FULL) from exc
            raise
        except httpx.TransportError as exc:
            if is_shortage(exc.__cause__):
                raise AtCapacity(NO_SOCKETS) from exc
            raise
        finally:
            _queue.reset(token)
