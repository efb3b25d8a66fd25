"""Reads Anthropic's streamed frames as events, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.anthropic_content import THINKING_FORMAT
from gateway.providers.base import (
    Extra,
    Finish,
    JsonObject,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.finish_reasons import finish_reason
from gateway.providers.garbled import NO_COUNT, a_text, an_object, is_count, objects, parsed, reported_count
from gateway.providers.refusals import (
    GATEWAY_TIMEOUTS,
    context_too_long,
    is_about_context,
    is_transient,
    words_of,
)
from gateway.providers.reported_errors import error_in, reported_error, status_of
from gateway.providers.sse import DONE, Frame
from kit.errors import DomainError

# https://docs.anthropic.com/en/api/errors: the status that an error has before the stream begins.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
OWN_REASONS = {"pause_turn", "model_context_window_exceeded"}
COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
OPENAI_NAMES = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
KINDS = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}
NAMED = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
    "ping",
}


@dataclass(slots=True)
class _ToolUse:
    """A call that is being streamed; Anthropic streams nothing for one without arguments."""

    index: int  # among the reply's tool calls, as in OpenAI's format
    initial_input: JsonObject  # from the start of the block
    has_arguments: bool = False


@dataclass(slots=True)
class _Thinking:
    """A block of thinking, which Claude wants back with its signature."""

    texts: list[str] = field(default_factory=list)
    signature: str = ""


class AnthropicReader:
    """Reads one reply up to `message_stop`; unknown events and blocks are skipped."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self.unread = 0
        self._begun = False
        self._reason: str | None = None
        self._counts: dict[str, int] = {}
        self._tools: dict[object, _ToolUse] = {}  # by the block's index
        self._thinking: dict[object, _Thinking] = {}  # also by the block's index

    @property
    def is_finished(self) -> bool:
        return self._reason is not None

    @property
    def has_usage(self) -> bool:
        return "output_tokens" in self._counts

    def read(self, frame: Frame) -> Iterator[ModelEvent]:
        found = parsed(frame.data)
        if found is None:
            self.unread += frame.data.strip() not in ("null", "ping", DONE)
            return
        for data in found:
            yield from self._read_event(data, frame)

    def _read_event(self, data: JsonObject, frame: Frame) -> Iterator[ModelEvent]:
        named = frame.event if frame.event in NAMED else ""
        match data.get("type") or named:
            case "message_start":
                self._begun = True
                yield from self._count(an_object(data.get("message")))
            case "message":
                yield from self._read_whole(data)
            case "content_block_start":
                yield from self._start(data.get("index"), an_object(data.get("content_block")))
            case "content_block_delta":
                yield from self._delta(data.get("index"), an_object(data.get("delta")))
            case "content_block_stop":
                yield from self._stop(data.get("index"))
            case "message_delta":
                yield from self._count(data)
                yield from self._end_by(an_object(data.get("delta")))
            case "message_stop":
                self.done = True
            case "error":
                raise self._reported(an_object(data.get("error")) or data)
            case "ping":
                return
            case _ if (error := error_in(data, event=frame.event)) is not None:
                raise reported_error(error, provider=self.provider, has_begun=self._begun)

    def end(self) -> Iterator[ModelEvent]:
        """A reply is complete after a stop reason, or after `message_stop` if it has begun."""
        for block in list(self._tools):
            yield from self._stop(block)
        if created := self._counts.get("cache_creation_input_tokens", 0):
            yield Extra("answer", "cache_creation_input_tokens", created)
        if self._reason is not None or (self.done and self._begun):
            reason = self._reason or "stop"
            yield Finish("tool_calls" if reason == "stop" and self._tools else reason)

    def _end_by(self, delta: JsonObject) -> Iterator[ModelEvent]:
        """Also Anthropic's own reason, if OpenAI's reasons do not express it."""
        reason = a_text(delta.get("stop_reason"))
        self._reason = finish_reason(reason, provider=self.provider) or self._reason
        if reason in OWN_REASONS:
            yield Extra("choice", "native_finish_reason", reason)  # OpenRouter's name for it
        if sequence := a_text(delta.get("stop_sequence")):
            yield Extra("choice", "stop_sequence", sequence)

    def _read_whole(self, message: JsonObject) -> Iterator[ModelEvent]:
        """A message that was not streamed."""
        self._begun = True
        for index, block in enumerate(objects(message.get("content"))):
            yield from self._start(index, block)
            yield from self._citations(block.get("citations"))
            yield from self._stop(index)
        yield from self._count(message)
        yield from self._end_by(message)
        self.done = True

    def _count(self, data: JsonObject) -> Iterator[ModelEvent]:
        """Counts are cumulative; those that are missing, or 0 after a count, keep their value."""
        usage = an_object(data.get("usage"))
        counts = {
            name: reported_count(usage.get(name, usage.get(OPENAI_NAMES.get(name, "")))) for name in COUNTS
        }
        self._counts |= {
            name: count
            for name, count in counts.items()
            if count is not None and (count or not self._counts.get(name))
        }
        thinking = an_object(usage.get("output_tokens_details")).get("thinking_tokens")
        if is_count(thinking):
            self._counts["thinking_tokens"] = thinking
        if "input_tokens" in self._counts and "output_tokens" in self._counts:
            yield self._report()

    def _report(self) -> UsageReport:
        counts = self._counts
        cached = counts.get("cache_read_input_tokens", 0)
        created = counts.get("cache_creation_input_tokens", 0)
        parts = (counts["input_tokens"], created, cached)
        read = sum(parts) if min(parts) >= 0 else NO_COUNT
        written = counts["output_tokens"]
        thinking = min(counts.get("thinking_tokens", 0), max(written, 0))
        return UsageReport(read, written, max(cached, 0), thinking, max(created, 0))

    def _start(self, block: object, content: JsonObject) -> Iterator[ModelEvent]:
        match content.get("type"):
            case "text" if text := a_text(content.get("text")):
                yield TextDelta(text)
            case "thinking":
                signature = a_text(content.get("signature"))
                self._thinking[_key(block)] = thinking = _Thinking(signature=signature)
                if text := a_text(content.get("thinking")):
                    thinking.texts.append(text)
                    yield ReasoningDelta(text)
            case "redacted_thinking":
                detail = {"type": "reasoning.encrypted", "data": a_text(content.get("data"))}
                yield _reasoning_detail(block, detail)
            case "tool_use":
                tool = _ToolUse(len(self._tools), an_object(content.get("input")))
                self._tools[_key(block)] = tool
                function = {"name": a_text(content.get("name")).strip(), "arguments": ""}
                call_id = a_text(content.get("id")) or f"toolu_{len(self._tools)}"
                call = {"index": tool.index, "id": call_id, "type": "function"}
                yield ToolCallDelta([{**call, "function": function}])

    def _delta(self, block: object, delta: JsonObject) -> Iterator[ModelEvent]:
        kind = delta.get("type") or next((kind for name, kind in KINDS.items() if name in delta), None)
        match kind:
            case "text_delta" if text := a_text(delta.get("text")):
                yield TextDelta(text)
            case "thinking_delta" if text := a_text(delta.get("thinking")):
                self._thinking.setdefault(_key(block), _Thinking()).texts.append(text)
                yield ReasoningDelta(text)
            case "signature_delta":
                thinking = self._thinking.setdefault(_key(block), _Thinking())
                thinking.signature += a_text(delta.get("signature"))
            case "citations_delta":
                yield from self._citations([delta.get("citation")])
            case "input_json_delta" if text := _json_text(delta.get("partial_json")):
                if tool := self._tools.get(_key(block)):
                    tool.has_arguments = True
                    yield _arguments(tool, text)

    def _stop(self, block: object) -> Iterator[ModelEvent]:
        tool = self._tools.get(_key(block))
        if tool and not tool.has_arguments:
            tool.has_arguments = True
            yield _arguments(tool, json.dumps(tool.initial_input, ensure_ascii=False))
        thinking = self._thinking.pop(_key(block), None)
        if thinking and thinking.signature:
            text = "".join(thinking.texts)
            detail = {"type": "reasoning.text", "text": text, "signature": thinking.signature}
            yield _reasoning_detail(block, detail)

    @staticmethod
    def _citations(citations: Any) -> Iterator[ModelEvent]:
        """As OpenAI's annotations: Claude's own citation, and its URL if it has one."""
        for citation in objects(citations):
            url = {"url": citation.get("url"), "title": citation.get("title")}
            annotation = {"type": "url_citation", "url_citation": url} if citation.get("url") else {}
            yield Extra("message", "annotations", [{"type": "citation", **annotation, "citation": citation}])

    def _reported(self, error: JsonObject) -> DomainError:
        """Before a message has begun, the provider has done no work and bills nothing."""
        status = STATUSES.get(a_text(error.get("type"))) or status_of(error)
        status = 500 if status < 400 else status
        words = words_of(error)
        if not self._begun and is_about_context(" ".join(words.values())):
            return context_too_long(words)
        return ProviderError(
            provider=self.provider,
            provider_status=status,
            did_no_work=not self._begun and status not in GATEWAY_TIMEOUTS,
            transient=is_transient(status),
            words=words,
        )


def _reasoning_detail(block: object, detail: JsonObject) -> Extra:
    index = block if is_count(block) else 0
    return Extra("message", "reasoning_details", [{**detail, "format": THINKING_FORMAT, "index": index}])


def _json_text(piece: Any) -> str:
    return json.dumps(piece, ensure_ascii=False) if isinstance(piece, dict) and piece else a_text(piece)


def _key(block: object) -> object:
    return block if is_count(block) else None


def _arguments(tool: _ToolUse, text: str) -> ToolCallDelta:
    return ToolCallDelta([{"index": tool.index, "function": {"arguments": text}}])
