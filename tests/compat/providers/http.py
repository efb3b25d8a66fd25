"""Reads requests and sends answers as an ASGI application, for scripted providers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]
PAUSE_SECONDS = 0.005  # between two frames, so that clients see several pieces


class Refused(Exception):
    """A provider's error: its status, its body and its headers."""

    def __init__(self, status: int, body: JsonObject, **headers: str) -> None:
        super().__init__(body)
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Call:
    """A request as a provider receives it; header names are in lowercase."""

    path: str
    headers: dict[str, str]
    body: JsonObject = field(default_factory=dict)


async def read_call(scope: dict[str, Any], receive: Any) -> Call:
    data = bytearray()
    while True:
        message = await receive()
        data += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, {"error": {"message": "The body is not a JSON object.", "type": "invalid"}})
    return Call(scope["path"], headers, body)


async def send_json(send: Any, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
    pairs = {"content-type": "application/json", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in pairs.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


async def send_stream(send: Any, frames: Iterable[str]) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for frame in _slowly(frames):
        await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _slowly(frames: Iterable[str]) -> AsyncIterator[str]:
    for frame in frames:
        yield frame
        await asyncio.sleep(PAUSE_SECONDS)
