"""Writes the events of a reply as Anthropic's content blocks, of which only one is open at a time.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from gateway.api.messages.carrier import packed
from gateway.providers.anthropic_content import THINKING_FORMAT
from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object
from gateway.providers.reasoning_details import join_details

CALL_FIELDS = {"index", "id", "type", "function", "custom"}
SERVER_USE, SERVER_RESULT = "mcp_tool_use", "mcp_tool_result"


@dataclass(slots=True)
class Block:
    """A block that has not ended yet; `pieces` are its deltas that wait for an earlier block's end."""

    content: JsonObject
    pieces: list[JsonObject] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # of a tool's arguments, or of thinking
    index: int | None = None
    is_cited: bool = False
    has_ended: bool = False

    @property
    def kind(self) -> str:
        return str(self.content["type"])


class BlockWriter:
    """Calls that a provider streams in turns wait until the first of them is complete."""

    def __init__(self) -> None:
        self.has_calls = False
        self._open: list[Block] = []
        self._calls: dict[object, Block] = {}
        self._details: list[JsonObject] = []  # another provider's, to be sent back to it
        self._next = 0

    def text(self, text: str) -> Iterator[JsonObject]:
        block = self._current("text")
        if block is None or block.is_cited:
            block = self._begin({"type": "text", "text": ""})
        block.pieces.append({"type": "text_delta", "text": text})
        return self._ready()

    def citations(self, citations: list[JsonObject]) -> Iterator[JsonObject]:
        """Of the text before; more text begins another block, so that it is clear what they are about."""
        block = self._current("text") or self._begin({"type": "text", "text": ""})
        block.pieces += [{"type": "citations_delta", "citation": citation} for citation in citations]
        block.is_cited = True
        return self._ready()

    def thinking(self, text: str) -> Iterator[JsonObject]:
        block = self._current("thinking") or self._begin(
            {"type": "thinking", "thinking": "", "signature": ""}
        )
        block.texts.append(text)
        block.pieces.append({"type": "thinking_delta", "thinking": text})
        return self._ready()

    def claudes_details(self, details: list[JsonObject]) -> Iterator[JsonObject]:
        """Claude's signatures and redacted thinking; the text of a signed one may have streamed before."""
        for detail in details:
            if detail.get("type") == "reasoning.encrypted":
                self._end(self._begin({"type": "redacted_thinking", "data": a_text(detail.get("data"))}))
            elif signature := a_text(detail.get("signature")):
                self._sign(a_text(detail.get("text")), signature)
        return self._ready()

    def others_details(self, details: list[JsonObject]) -> None:
        """Wait for the end of the thinking, then become a block that clients send back."""
        self._details += details

    def calls(self, pieces: list[JsonObject]) -> Iterator[JsonObject]:
        for piece in pieces:
            self._call(piece)
        return self._ready()

    def server_call(self, call_id: str, server: str, tool: str, arguments: Any) -> Iterator[JsonObject]:
        block = self._begin(
            {"type": SERVER_USE, "id": call_id, "name": tool, "server_name": server, "input": {}}
        )
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        block.pieces.append({"type": "input_json_delta", "partial_json": text})
        self._end(block)
        return self._ready()

    def server_result(self, call_id: str, output: str, *, is_error: bool) -> Iterator[JsonObject]:
        content = [{"type": "text", "text": output}]
        result = {"type": SERVER_RESULT, "tool_use_id": call_id, "is_error": is_error, "content": content}
        self._end(self._begin(result))
        return self._ready()

    def close(self) -> Iterator[JsonObject]:
        """Ends all open blocks."""
        self._end_all()
        self._carry_details()
        return self._ready()

    def _current(self, kind: str) -> Block | None:
        last = self._open[-1] if self._open else None
        return last if last and last.kind == kind and not last.has_ended else None

    def _begin(self, content: JsonObject) -> Block:
        """Ends the block before, unless it is a call whose arguments are incomplete."""
        last = self._open[-1] if self._open else None
        if last and not last.has_ended and not (last.kind == "tool_use" and not _is_complete(last.texts)):
            self._end(last)
        if content["type"] != "thinking":
            self._carry_details()
        block = Block(content)
        self._open.append(block)
        return block

    def _end(self, block: Block) -> None:
        if block.kind == "thinking" and not any(p["type"] == "signature_delta" for p in block.pieces):
            # Ours, so that the next request shows that Anthropic did not sign it.
            block.pieces.append({"type": "signature_delta", "signature": packed({})})
        block.has_ended = True

    def _end_all(self) -> None:
        for block in self._open:
            if not block.has_ended:
                self._end(block)

    def _sign(self, text: str, signature: str) -> None:
        block = self._current("thinking")
        if block is None:
            block = self._begin({"type": "thinking", "thinking": "", "signature": ""})
        if rest := text.removeprefix("".join(block.texts)):
            block.pieces.append({"type": "thinking_delta", "thinking": rest})
        block.pieces.append({"type": "signature_delta", "signature": signature})
        block.has_ended = True

    def _carry_details(self) -> None:
        if self._details:
            details, self._details = self._details, []
            self._carry({"reasoning_details": join_details([details])})

    def _carry(self, content: JsonObject) -> None:
        block = Block({"type": "redacted_thinking", "data": packed(content)}, has_ended=True)
        self._open.append(block)

    def _call(self, piece: JsonObject) -> None:
        index, function = piece.get("index"), an_object(piece.get("function"))
        block = self._calls.get(index)
        if block is None:
            block = self._calls[index] = self._begin_call(piece, a_text(function.get("name")))
        if (text := a_text(function.get("arguments"))) and not block.has_ended:
            block.texts.append(text)
            block.pieces.append({"type": "input_json_delta", "partial_json": text})

    def _begin_call(self, piece: JsonObject, name: str) -> Block:
        self.has_calls = True
        call_id = a_text(piece.get("id")) or f"toolu_{uuid4().hex}"
        block = self._begin({"type": "tool_use", "id": call_id, "name": name, "input": {}})
        if extra := {name: value for name, value in piece.items() if name not in CALL_FIELDS}:
            self._open.pop()
            self._carry({"calls": {call_id: extra}})
            self._open.append(block)
        return block

    def _ready(self) -> Iterator[JsonObject]:
        """The events that can be sent now: of the first open block, and of the next once it has ended."""
        while self._open:
            block = self._open[0]
            if block.index is None:
                block.index, self._next = self._next, self._next + 1
                yield {"type": "content_block_start", "index": block.index, "content_block": block.content}
            pieces, block.pieces = block.pieces, []
            for delta in pieces:
                yield {"type": "content_block_delta", "index": block.index, "delta": delta}
            if not block.has_ended:
                return
            yield {"type": "content_block_stop", "index": block.index}
            self._open.pop(0)


def is_claudes(detail: JsonObject) -> bool:
    return detail.get("format") == THINKING_FORMAT


def _is_complete(texts: list[str]) -> bool:
    """Not without any text: the arguments may follow those of the next call."""
    try:
        json.loads("".join(texts))
    except (ValueError, RecursionError):
        return False
    return True
