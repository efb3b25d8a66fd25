"""Sends a request as an impatient client does, and records what arrives and when."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Answer:
    """`broken`: why it ended too early, or empty; `lines`: a stream's lines, with their times in seconds."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[float, str]] = field(default_factory=list)
    body: bytes = b""
    broken: str = ""
    seconds: float = 0.0
    first_byte: float | None = None

    @property
    def is_stream(self) -> bool:
        return self.status == 200 and bool(self.lines)

    def json(self) -> Any:
        try:
            return json.loads(self.body) if self.body else {}
        except ValueError:
            return {"text": self.body[:300].decode("utf-8", "replace")}

    def frames(self) -> Iterator[tuple[float, str, Any]]:
        """The time in seconds, event and data (parsed if it is JSON) of each frame."""
        event = "message"
        for at, line in self.lines:
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                data = line[5:].strip()
                try:
                    yield at, event, json.loads(data)
                except ValueError:
                    yield at, event, data
                event = "message"


async def talk(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], *, limit: float, headers: dict[str, str]
) -> Answer:
    """POSTs `body`. A failure or a passed `limit` (seconds) is reported in `broken`, never raised."""
    answer, began = Answer(), time.monotonic()
    try:
        content = json.dumps(body).encode()  # in ASCII, so that half a surrogate pair can be sent
        headers = {"Content-Type": "application/json", **headers}
        request = client.build_request("POST", path, content=content, headers=headers)
        async with asyncio.timeout(limit):
            await _receive(client, request, answer, began)
    except TimeoutError:
        answer.broken = f"no end within {limit:g} s"
    except httpx.HTTPError as exc:
        answer.broken = f"{type(exc).__name__}: {exc}"
    answer.seconds = time.monotonic() - began
    return answer


async def _receive(client: httpx.AsyncClient, request: httpx.Request, answer: Answer, began: float) -> None:
    response = await client.send(request, stream=True)
    answer.status, answer.headers = response.status_code, dict(response.headers)
    answer.first_byte = time.monotonic() - began
    rest, is_stream = b"", "event-stream" in answer.headers.get("content-type", "")
    try:
        async for packet in response.aiter_bytes():
            answer.body += packet
            if is_stream:
                # Not httpx's own lines: those also end at U+2028.
                *lines, rest = (rest + packet).split(b"\n")
                answer.lines += [_stamped(line, began) for line in lines]
    finally:
        await response.aclose()
    if rest:
        answer.lines.append(_stamped(rest, began))


def _stamped(line: bytes, began: float) -> tuple[float, str]:
    return round(time.monotonic() - began, 2), line.decode("utf-8", "replace").rstrip("\r")
