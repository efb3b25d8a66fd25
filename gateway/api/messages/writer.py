"""Writes a reply as Anthropic's message, as the events of a stream or whole.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.api.messages.blocks import BlockWriter, is_claudes
from gateway.api.model_calls import ReplyWriter, joined
from gateway.engines.events import ToolCall, ToolResult
from gateway.models import Turn
from gateway.providers.anthropic_events import OWN_REASONS
from gateway.providers.base import (
    Answering,
    Extra,
    JsonObject,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.providers.garbled import a_text, an_object, is_count, objects
from gateway.turns.events import Done, TurnEvent, UsageTotal
from quotas.prices import MILLION, Usage

Reason = Turn.FinishReason
STOP_REASONS: dict[str, str] = {
    Reason.STOP: "end_turn",
    Reason.LENGTH: "max_tokens",
    "tool_calls": "tool_use",
    Reason.TOOL_LIMIT: "pause_turn",
    Reason.CONTENT_FILTER: "refusal",
    Reason.QUOTA_EXCEEDED: "max_tokens",
}
ANTHROPIC = "anthropic"
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}


def frame(event: JsonObject) -> bytes:
    """One server-sent event, named by its type."""
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


class MessageWriter(ReplyWriter):
    """Begins the message with the first event of the reply, when it is known which model answers."""

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._provider = ""
        self._has_begun = False
        self._blocks = BlockWriter()
        self._reason: str | None = None
        self._sequence: str | None = None
        self._native_reason = ""
        self._cache_written = 0  # tokens of the input
        self._usage: JsonObject = dict(NO_USAGE)
        self._others: JsonObject = {}  # what Anthropic's message has no place for
        self._refused = False
        self._failed = False

    def begin(self) -> bytes:
        return b""

    def write(self, event: TurnEvent) -> bytes:
        return b"".join(map(frame, self._events(event)))

    def end(self) -> bytes:
        return b"".join(map(frame, self._ending()))

    def whole(self, events: list[TurnEvent]) -> JsonObject:
        sent = [each for event in events for each in self._events(event)]
        return assembled([*sent, *self._ending()])

    def _events(self, event: TurnEvent) -> Iterator[JsonObject]:
        match event:
            case Answering(model, provider):
                self._model, self._provider = model, provider
            case UsageTotal(usage):
                self._usage = usage_of(usage, self._cache_written)
            case Done(reason):
                self._failed = reason == Reason.ERROR
                self._reason = STOP_REASONS.get(reason, "end_turn")
            case Extra(place, name, value):
                yield from self._begun(self._extra(place, name, value))
            case _ if (events := self._content(event)) is not None:
                yield from self._begun(events)

    def _content(self, event: TurnEvent) -> Iterable[JsonObject] | None:
        match event:
            case TextDelta(text) | RefusalDelta(text):
                self._refused |= isinstance(event, RefusalDelta)
                return self._blocks.text(text)
            case ReasoningDelta(text):
                return self._blocks.thinking(text)
            case ToolCallDelta(calls):
                return self._blocks.calls(calls)
            case ToolCall(call_id, server, tool, arguments):
                return self._blocks.server_call(call_id, server or "", tool, arguments)
            case ToolResult(call_id, output, is_error):
                return self._blocks.server_result(call_id, output, is_error=is_error)
        return None

    def _extra(self, place: str, name: str, value: Any) -> Iterable[JsonObject]:
        match place, name:
            case "message", "reasoning_details":
                details = objects(value)
                if self._provider == ANTHROPIC:
                    return self._blocks.claudes_details([d for d in details if is_claudes(d)])
                self._blocks.others_details(details)
            case "message", "annotations" if self._provider == ANTHROPIC:
                return self._blocks.citations([an_object(each.get("citation")) for each in objects(value)])
            case "choice", "native_finish_reason" if self._provider == ANTHROPIC and value in OWN_REASONS:
                self._native_reason = value
            case "answer", "cache_creation_input_tokens" if is_count(value):
                self._cache_written += value
            case "choice", "stop_sequence":
                self._sequence = a_text(value) or None
            case _:
                self._others[name] = joined(self._others.get(name), value)
        return ()

    def _begun(self, events: Iterable[JsonObject]) -> Iterator[JsonObject]:
        if not self._has_begun:
            self._has_begun = True
            yield {
                "type": "message_start",
                "message": {
                    "id": self._id,
                    "type": "message",
                    "role": "assistant",
                    "model": self._model,
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "usage": dict(NO_USAGE),
                },
            }
        yield from events

    def _ending(self) -> Iterator[JsonObject]:
        """Nothing after a failure: the error was the last event."""
        if self._failed or self._reason is None:
            return
        yield from self._begun(self._blocks.close())
        delta = {"stop_reason": self._stop_reason(), "stop_sequence": self._sequence, **self._others}
        yield {"type": "message_delta", "delta": delta, "usage": self._usage}
        yield {"type": "message_stop"}

    def _stop_reason(self) -> str | None:
        if self._native_reason or self._sequence is not None:
            return self._native_reason or "stop_sequence"
        if self._reason == "end_turn" and self._blocks.has_calls:
            return "tool_use"  # some servers end a reply with calls as any other
        return "refusal" if self._refused and self._reason == "end_turn" else self._reason


def usage_of(usage: Usage, cache_written: int = 0) -> JsonObject:
    """Anthropic counts what is read from, or written to, its cache separately from the input."""
    written = min(cache_written, max(usage.input_tokens - usage.cached_tokens, 0))
    counts: JsonObject = {
        "input_tokens": max(usage.input_tokens - usage.cached_tokens - written, 0),
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
    return counts if usage.cost is None else {**counts, "cost": usage.cost / MILLION}


def assembled(events: list[JsonObject]) -> JsonObject:
    """The message that a stream's events make up."""
    message: JsonObject = {}
    inputs: dict[int, list[str]] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _add(message["content"][-1], event["delta"], inputs.setdefault(event["index"], []))
            case "content_block_stop":
                if written := "".join(inputs.get(event["index"], [])):
                    message["content"][-1]["input"] = _input(written)
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    return message


def _add(block: JsonObject, delta: JsonObject, arguments: list[str]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case "input_json_delta":
            arguments.append(delta["partial_json"])


def _input(written: str) -> Any:
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"unreadable_arguments": written}
