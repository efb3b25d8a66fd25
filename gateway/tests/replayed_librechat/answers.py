"""Sends JSON and text responses and SSE frames, and reads request bodies."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Json = dict[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]
Headers = list[tuple[str, str]]

PROTOCOL: Json = {"generationProtocolVersion": 1}
STREAM_HEADERS: Headers = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-librechat-generation-protocol", "1"),
]


async def answer_json(send: Send, status: int, data: Any, headers: Headers | None = None) -> None:
    kind = ("content-type", "application/json; charset=utf-8")
    await answer(send, status, compact(data), [kind, *(headers or [])])


async def answer_text(send: Send, status: int, text: str) -> None:
    await answer(send, status, text, [("content-type", "text/html; charset=utf-8")])


async def answer(send: Send, status: int, text: str, headers: Headers | None = None) -> None:
    await start(send, status, headers or [])
    await write(send, text, more=False)


async def start(send: Send, status: int, headers: Headers) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def write(send: Send, text: str, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": more})


def frame(event: str, data: Json) -> str:
    return f"event: {event}\ndata: {compact(data)}\n\n"


def compact(data: Any) -> str:
    """The same format as JavaScript's JSON.stringify."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


async def read(receive: Receive) -> Any:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return {}


async def client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
