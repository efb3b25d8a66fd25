"""Scripted providers on a loopback port; the path names the script, and requests are recorded."""

import asyncio
import base64
import itertools
import json
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.cases.tool_server import TOOLS, answer_tool_server

JSON_TYPE = {"Content-Type": "application/json"}
MODEL_LIST = b'{"object":"list","data":[{"id":"m","object":"model"}]}'
Headers = dict[str, str]


@dataclass(frozen=True)
class Received:
    """A request that reached a scripted provider; `body` is its JSON."""

    path: str
    headers: Headers
    body: dict[str, Any]


@dataclass
class Play:
    """A script (a case's `status headers chunks …`) and the requests that it has answered."""

    script: dict[str, Any]
    received: list[Received] = field(default_factory=list)


class Stage:
    """`with Stage() as stage:` serves in a thread with its own event loop; `stage.port`."""

    def __init__(self) -> None:
        self._plays: dict[str, Play] = {}
        self._serial = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Stage":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def add(self, script: dict[str, Any]) -> tuple[str, Play]:
        """Returns the script's id, which is the first part of its path, and the record of its requests."""
        name = f"c{next(self._serial)}"
        self._plays[name] = play = Play(script)
        return name, play

    async def _close(self) -> None:
        """Ends the answers that are still waiting."""
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, path, headers, body = await read_request(reader)
            await self._answer(method, path, headers, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        except Exception:
            traceback.print_exc()
        finally:
            writer.close()

    async def _answer(
        self, method: str, path: str, headers: Headers, body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        name = path.split("/")[1]
        if name == "tools":
            return await answer(writer, *answer_tool_server(method, body))
        play = self._plays.get(name)
        if method == "GET" or play is None:
            return await answer(writer, 200 if play else 404, JSON_TYPE, MODEL_LIST)
        asked = _parsed(body)
        before = len(play.received)
        play.received.append(Received(path, headers, asked))
        await perform(writer, _part(play.script, asked, before), _wire_names(asked))


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, Headers, bytes]:
    """Method, path, headers (in lowercase) and body of one HTTP/1.1 request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if "chunked" not in headers.get("transfer-encoding", ""):
        return method, path, headers, await reader.readexactly(int(headers.get("content-length") or 0))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return method, path, headers, body


async def answer(writer: asyncio.StreamWriter, status: int, headers: Headers, body: bytes = b"") -> None:
    writer.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)
    await writer.drain()


async def perform(writer: asyncio.StreamWriter, part: dict[str, Any], wire_names: dict[str, str]) -> None:
    """Plays one scripted answer; `wire_names` maps the script's tool names to those in the request."""
    is_chunked = part.get("framing", "chunked") == "chunked"
    status = part.get("status", 200)
    headers = {"Content-Type": "application/json" if status >= 400 else "text/event-stream"}
    headers |= part.get("headers") or {}
    if is_chunked:
        headers["Transfer-Encoding"] = "chunked"
    await asyncio.sleep(part.get("head_delay_s", 0))
    writer.write(_head(status, headers))
    await writer.drain()
    for piece in part.get("chunks") or []:
        match piece:
            case {"sleep_s": seconds}:
                await asyncio.sleep(seconds)
            case {"abort": _}:
                await asyncio.sleep(0.05)  # so that the client receives what was written before the reset
                return writer.transport.abort()
            case {"close": _}:
                return
            case _:
                await _send(writer, _bytes_of(piece, wire_names), part.get("split"), is_chunked)
    if is_chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _send(writer: asyncio.StreamWriter, raw: bytes, split: int | None, is_chunked: bool) -> None:
    size = split or len(raw) or 1
    for at in range(0, len(raw), size):
        packet = raw[at : at + size]
        writer.write(b"%x\r\n%s\r\n" % (len(packet), packet) if is_chunked else packet)
        if split:
            await writer.drain()
            await asyncio.sleep(0.0005)  # so that packets stay apart
    await writer.drain()


def _head(status: int, headers: dict[str, Any]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "Connection: close", "", ""]).encode()


def _bytes_of(piece: Any, wire_names: dict[str, str]) -> bytes:
    raw = _raw_bytes_of(piece)
    for name, wire in wire_names.items():
        raw = raw.replace(name.encode(), wire.encode())
    return raw


def _raw_bytes_of(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode("utf-8", "surrogatepass")
    if "base64" in piece:
        return base64.b64decode(piece["base64"])
    repeated = str(piece["text"]) * int(piece["times"])
    return f"{piece.get('before', '')}{repeated}{piece.get('after', '')}".encode()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": body[:200].decode("latin-1")}


def _part(script: dict[str, Any], asked: dict[str, Any], before: int) -> dict[str, Any]:
    """The answer to this request, which may differ after tool results and for each repetition.

    `whole` is for a gateway that does not ask for a stream; ours always does.
    """
    if "whole" in script and not asked.get("stream"):
        return {"chunks": [script["whole"]], "headers": JSON_TYPE}
    if _ends_with_results(asked):
        if "second_round" in script:
            return {**script, "chunks": script["second_round"], "status": 200, "headers": {}}
    elif "replies" in script:
        return {**script, **script["replies"][min(before, len(script["replies"]) - 1)]}
    return script


def _ends_with_results(asked: dict[str, Any]) -> bool:
    messages = asked.get("messages") or [{}]
    last = messages[-1] if isinstance(messages, list) else {}
    if not isinstance(last, dict):
        return False
    content = last.get("content")
    blocks = content if isinstance(content, list) else []
    return last.get("role") == "tool" or any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks
    )


def _wire_names(asked: dict[str, Any]) -> dict[str, str]:
    names = list(_tool_names(asked))
    found = {tool: next((name for name in names if name.startswith(tool)), tool) for tool in TOOLS}
    return {tool: wire for tool, wire in found.items() if tool != wire}


def _tool_names(asked: dict[str, Any]) -> Iterator[str]:
    for tool in asked.get("tools") or []:
        if isinstance(tool, dict):
            yield tool.get("name") or (tool.get("function") or {}).get("name") or ""
