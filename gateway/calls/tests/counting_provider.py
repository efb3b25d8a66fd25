"""A provider for tests that counts its tokens correctly but may report other counts."""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TRUTH = object()  # the provider reports its own count


@dataclass
class Plan:
    """One reply: pieces `(field, text)`, how they end, and the reported token counts.

    The tokenizer counts the request by letters, digits and symbols, times `input_ratio`; a byte-level one
    counts each byte. The reply is counted likewise, times `output_ratio`, with at least one token per piece.
    """

    pieces: Sequence[tuple[str, str]] = (("content", "Hello"),)
    input_ratio: float = 1.0
    output_ratio: float = 1.0
    is_byte_level: bool = False
    claim: Any = TRUTH  # `(prompt, completion)`, None for nothing, or TRUTH
    finish: str = "stop"
    breaks_after: int | None = None  # pieces, after which the connection ends
    pauses_after: int | None = None  # pieces, after which it waits for `go_on`
    pauses: asyncio.Event = field(default_factory=asyncio.Event)  # set when it does
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


class CountingProvider:
    """`async with CountingProvider() as provider`: speaks both wire formats over a real socket."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.input_tokens = self.output_tokens = 0  # of the latest call, correctly counted
        self.left = asyncio.Event()  # the latest call's client left in the middle of the reply

    async def __aenter__(self) -> "CountingProvider":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            work = asyncio.ensure_future(self._answer(head, body, writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.left.set()
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        plan = self.plan
        wire = _Claude() if "/messages" in head.partition("\r\n")[0] else _OpenAI()
        self.input_tokens = (
            len(body) if plan.is_byte_level else math.ceil(_prompt_worth(json.loads(body)) * plan.input_ratio)
        )
        self.output_tokens = 0
        reported = (self.input_tokens, 1) if plan.claim is TRUTH else plan.claim
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(wire.start(reported))
        for at, (kind, text) in enumerate(plan.pieces):
            if at == plan.breaks_after:
                return
            if at == plan.pauses_after:
                await writer.drain()
                plan.pauses.set()
                await plan.go_on.wait()
            self.output_tokens += _worth(text, plan.output_ratio)
            writer.write(wire.piece(kind, text))
            await writer.drain()
        if plan.breaks_after is None:
            if plan.claim is TRUTH:
                reported = (self.input_tokens, self.output_tokens)
            writer.write(wire.end(plan.finish, reported))
            await writer.drain()


def _worth(text: str, ratio: float) -> int:
    """At least one token per streamed piece."""
    return max(1, math.floor(_tokens(text) * ratio))


def _tokens(text: str) -> float:
    """As tokenizers count: prose by its letters, but each digit and symbol on its own."""
    dense = sum(
        character.isascii() and not (character.isalpha() or character.isspace()) for character in text
    )
    prose = len(text.encode("ascii", "ignore")) - dense
    others = len(text.encode("utf-8", "replace")) - prose - dense
    return prose / 4 + dense + others / 2.2


def _prompt_worth(value: Any) -> float:
    """Everything in the request: names, texts and numbers, and two tokens for each pair."""
    if isinstance(value, dict):
        return sum(_tokens(name) + _prompt_worth(inner) + 2 for name, inner in value.items())
    if isinstance(value, list):
        return sum(_prompt_worth(inner) for inner in value)
    return _tokens(value if isinstance(value, str) else json.dumps(value))


def _line(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


class _OpenAI:
    def start(self, reported: Any) -> bytes:
        return _line({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})

    def piece(self, kind: str, text: str) -> bytes:
        delta: dict[str, Any] = {kind: text}
        if kind == "arguments":
            delta = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": text}}]}
        return _line({"choices": [{"index": 0, "delta": delta}]})

    def end(self, finish: str, reported: Any) -> bytes:
        end = _line({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if reported is not None:
            usage = {"prompt_tokens": reported[0], "completion_tokens": reported[1]}
            end += _line({"choices": [], "usage": usage})
        return end + b"data: [DONE]\n\n"


class _Claude:
    """Distinguishes three kinds of pieces: text, thinking and a tool's arguments."""

    def start(self, reported: Any) -> bytes:
        usage = {} if reported is None else {"input_tokens": reported[0], "output_tokens": reported[1]}
        tool = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
        begun = _line({"type": "message_start", "message": {"usage": usage}})
        return begun + _line({"type": "content_block_start", "index": 1, "content_block": tool})

    def piece(self, kind: str, text: str) -> bytes:
        delta = {
            "reasoning": {"type": "thinking_delta", "thinking": text},
            "arguments": {"type": "input_json_delta", "partial_json": text},
        }.get(kind, {"type": "text_delta", "text": text})
        index = 1 if kind == "arguments" else 0
        return _line({"type": "content_block_delta", "index": index, "delta": delta})

    def end(self, finish: str, reported: Any) -> bytes:
        usage = {} if reported is None else {"input_tokens": reported[0], "output_tokens": reported[1]}
        end = _line({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
        return end + _line({"type": "message_stop"})
