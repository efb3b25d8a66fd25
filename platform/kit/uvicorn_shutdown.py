"""Lets an application finish its work before uvicorn closes or cancels anything.

uvicorn sends `lifespan.shutdown` only after it has closed every WebSocket and cancelled slow requests. By
then, nothing can be sent to clients any more.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from uvicorn.server import Server, ServerState

from kit.shutdown_state import stopping

log = structlog.get_logger(__name__)
DRAIN = "drain"  # the key of an application's Drain in its lifespan state
POLL_SECONDS = 0.1
Drain = Callable[[set[asyncio.Task[None]]], Awaitable[None]]  # receives the open requests and sockets
_shutdown = Server.shutdown


def drain_before_shutdown() -> None:
    """Makes every server of this process call its application's Drain first; uvicorn has no hook for this.

    An application sets one with `scope["state"][DRAIN] = …` at `lifespan.startup`.
    """
    Server.shutdown = shutdown  # type: ignore[method-assign]


async def shutdown(self: Server, sockets: list[socket.socket] | None = None) -> None:
    """Stops listening, drains, then runs uvicorn's own shutdown. A second SIGINT ends the draining."""
    for server in self.servers:
        server.close()
    for sock in sockets or []:
        sock.close()
    stopping().begun.set()
    _close_after_answers(self.server_state)
    drain: Drain | None = self.lifespan.state.get(DRAIN)
    if drain is not None:
        await _drain(self, drain)
    await _shutdown(self, sockets)


async def _drain(server: Server, drain: Drain) -> None:
    task = asyncio.ensure_future(drain(server.server_state.tasks))
    while not task.done() and not server.force_exit:
        await asyncio.wait({task}, timeout=POLL_SECONDS)
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        log.error("the application could not be drained", exc_info=outcome)


def _close_after_answers(state: ServerState) -> None:
    """Closes each connection after its current response. Idle ones can still send a request, or time out."""
    for connection in state.connections:
        cycle: Any = getattr(connection, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
