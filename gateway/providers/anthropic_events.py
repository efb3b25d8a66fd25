"""Reads Anthropic's streamed frames as events, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import ProviderError
from gateway.providers.base import (
    Finish,
    JsonObject,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.garbled import NO_COUNT, a_text, an_object, is_count, parsed, reported_count
from gateway.providers.refusals import GATEWAY_TIMEOUTS, is_transient
from gateway.providers.sse import Frame

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
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
COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


@dataclass(slots=True)
class _ToolUse:
    """A call that is being streamed; Anthropic streams nothing for one without arguments."""

    index: int  # among the reply's tool calls, as in OpenAI's format
    initial_input: JsonObject  # from the start of the block
    has_arguments: bool = False


class AnthropicReader:
    """Reads one reply up to `message_stop`; unknown events and blocks are skipped."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self._begun = False
        self._counts: dict[str, int] = {}
        self._tools: dict[object, _ToolUse] = {}  # by the block's index

    def read(self, frame: Frame) -> Iterator[ModelEvent]:
        data = parsed(frame.data, provider=self.provider)
        match data.get("type", frame.event):
            case "message_start":
                self._begun = True
                yield from self._count(an_object(data.get("message")))
            case "content_block_start":
                yield from self._start(data.get("index"), an_object(data.get("content_block")))
            case "content_block_delta":
                yield from self._delta(data.get("index"), an_object(data.get("delta")))
            case "content_block_stop":
                yield from self._stop(data.get("index"))
            case "message_delta":
                yield from self._count(data)
                if reason := a_text(an_object(data.get("delta")).get("stop_reason")):
                    yield Finish(FINISH_REASONS.get(reason, "stop"))
            case "message_stop":
                self.done = True
            case "error":
                raise self._reported(an_object(data.get("error")))

    def _count(self, data: JsonObject) -> Iterator[ModelEvent]:
        """Counts are cumulative, and those that are missing keep their value."""
        usage = an_object(data.get("usage"))
        counts = {name: reported_count(usage.get(name)) for name in COUNTS}
        self._counts |= {name: count for name, count in counts.items() if count is not None}
        thinking = an_object(usage.get("output_tokens_details")).get("thinking_tokens")
        if is_count(thinking):
            self._counts["thinking_tokens"] = thinking
        if "input_tokens" in self._counts and "output_tokens" in self._counts:
            yield self._report()

    def _report(self) -> UsageReport:
        counts = self._counts
        cached = max(counts.get("cache_read_input_tokens", 0), 0)
        parts = (counts["input_tokens"], counts.get("cache_creation_input_tokens", 0), cached)
        read = sum(parts) if min(parts) >= 0 else NO_COUNT
        written = counts["output_tokens"]
        return UsageReport(read, written, cached, min(counts.get("thinking_tokens", 0), max(written, 0)))

    def _start(self, block: object, content: JsonObject) -> Iterator[ModelEvent]:
        match content.get("type"):
            case "text" if text := a_text(content.get("text")):
                yield TextDelta(text)
            case "thinking" if text := a_text(content.get("thinking")):
                yield ReasoningDelta(text)
            case "tool_use":
                tool = _ToolUse(len(self._tools), an_object(content.get("input")))
                self._tools[_key(block)] = tool
                function = {"name": a_text(content.get("name")), "arguments": ""}
                call = {"index": tool.index, "id": a_text(content.get("id")), "type": "function"}
                yield ToolCallDelta([{**call, "function": function}])

    def _delta(self, block: object, delta: JsonObject) -> Iterator[ModelEvent]:
        match delta.get("type"):
            case "text_delta" if text := a_text(delta.get("text")):
                yield TextDelta(text)
            case "thinking_delta" if text := a_text(delta.get("thinking")):
                yield ReasoningDelta(text)
            case "input_json_delta" if text := a_text(delta.get("partial_json")):
                if tool := self._tools.get(_key(block)):
                    tool.has_arguments = True
                    yield _arguments(tool, text)

    def _stop(self, block: object) -> Iterator[ModelEvent]:
        tool = self._tools.get(_key(block))
        if tool and not tool.has_arguments:
            tool.has_arguments = True
            yield _arguments(tool, json.dumps(tool.initial_input, ensure_ascii=False))

    def _reported(self, error: JsonObject) -> ProviderError:
        """Before a message has begun, the provider has done no work and bills nothing."""
        status = STATUSES.get(a_text(error.get("type")), 500)
        return ProviderError(
            provider=self.provider,
            provider_status=status,
            did_no_work=not self._begun and status not in GATEWAY_TIMEOUTS,
            transient=is_transient(status),
        )


def _key(block: object) -> object:
    return block if is_count(block) else None


def _arguments(tool: _ToolUse, text: str) -> ToolCallDelta:
    return ToolCallDelta([{"index": tool.index, "function": {"arguments": text}}])
