"""Responses of a stopping server: `Connection: close`, and an error for requests that are cut off."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from kit import request_origin
from kit.bodies import refusal_of
from kit.errors import DomainError, ShuttingDown
from kit.http_consumer import begin_request
from kit.shutdown_state import stopping

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
CLOSE = (b"connection", b"close")


class ShutdownResponses:
    """Wraps an ASGI application for HTTP. `status_of` maps an error to its status, as for BoundedBodies."""

    def __init__(
        self, application: Any, *, status_of: Callable[[DomainError], int] = lambda error: error.status
    ) -> None:
        self.application, self.status_of = application, status_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def closing_send(message: dict[str, Any]) -> None:
            nonlocal has_started
            has_started = True
            if message["type"] == "http.response.start" and stopping().begun.is_set():
                message = _with_close(message)
            await send(message)

        try:
            await self.application(scope, receive, closing_send)
        except asyncio.CancelledError:
            if has_started:
                raise
            with suppress(OSError):
                await self._answer(scope, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        origin = request_origin.current()
        if not origin.request_id:
            header = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            origin = begin_request(scope, header)
        error = ShuttingDown()
        body, fields = refusal_of(error, origin)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": self.status_of(error), "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _with_close(message: dict[str, Any]) -> dict[str, Any]:
    headers = [(name, value) for name, value in message.get("headers", []) if name.lower() != CLOSE[0]]
    return {**message, "headers": [*headers, CLOSE]}
