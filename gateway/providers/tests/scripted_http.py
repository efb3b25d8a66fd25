"""A scripted HTTP server for tests that sends each byte of its responses as given, over a real socket."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STREAM = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True)
class Answer:
    """Pieces of the body are sent unchanged; numbers are pauses in seconds."""

    body: Sequence[bytes | float] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: STREAM)
    breaks_off: bool = False  # the connection ends before the body does
    hangs_up: bool = False  # the connection ends before the response begins
    delay: float = 0  # before the headers


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedServer:
    """Sends its answers in order, the last one repeatedly, and records the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.requests: list[Request] = []
        self.hangups = asyncio.Semaphore(0)  # released for each client that left during a response

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def client_left(self) -> None:
        """Returns when a client has left during a response; fails if none does."""
        async with asyncio.timeout(20):
            await self.hangups.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await _read(reader))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer.hangs_up:
                return
            work = asyncio.ensure_future(_write(answer, writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.hangups.release()
            work.cancel()
            gone.cancel()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(body) if body else None)


async def _write(answer: Answer, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(answer.delay)
    head = {"Connection": "close", "Transfer-Encoding": "chunked", **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} Said", *(f"{name}: {value}" for name, value in head.items())]
    writer.write("\r\n".join([*lines, "\r\n"]).encode())
    for piece in answer.body:
        if isinstance(piece, bytes):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        else:
            await asyncio.sleep(piece)
    if not answer.breaks_off:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
