"""Reads `/v1/messages` as Anthropic's reference of the Messages API and its stream events describes it.

https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from typing import Any

from tests.cases.comparison import compact
from tests.cases.http_answers import Answer
from tests.cases.observation import Call, Observed, error_of

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# https://docs.anthropic.com/en/api/errors
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read_messages(answer: Answer) -> Observed:
    return _Stream(answer).read() if answer.is_stream else _read_whole(answer)


def _read_whole(answer: Answer) -> Observed:
    found, body = Observed(answer, is_complete=True), answer.json()
    if answer.status == 200 and isinstance(body, dict) and body.get("type") == "message":
        found.parsed = [body]
        _read_message(found, body)
    elif answer.status:
        found.error = error_of(body, answer.status)
        _check_error(found, body)
    return found


def _check_error(found: Observed, body: Any) -> None:
    """The shape, and the type for the status; a status that Anthropic does not list may have any type."""
    if not isinstance(body, dict) or body.get("type") != "error" or found.error is None:
        found.faults.append(f"an error that does not have Anthropic's shape: {compact(body)[:100]}")
        return
    expected = ERROR_TYPES.get(found.error.status or 0, found.error.type)
    if found.error.type != expected or not expected:
        found.faults.append(f"error.type {found.error.type!r} with status {found.error.status}")


def _read_message(found: Observed, message: dict[str, Any]) -> None:
    found.model, found.usage = message.get("model"), _usage_of(message.get("usage"))
    for block in message.get("content") or []:
        _add_block(found, block)
    _set_finish(found, message.get("stop_reason"))


def _set_finish(found: Observed, reason: str | None) -> None:
    found.finish_reason = FINISHES.get(reason or "", reason)


def _add_block(found: Observed, block: dict[str, Any]) -> None:
    match block.get("type"):
        case "text":
            found.text += block.get("text") or ""
        case "thinking":
            found.reasoning += block.get("thinking") or ""
        case "tool_use":
            name, arguments = block.get("name") or "", block.get("input")
            if not isinstance(arguments, dict):
                found.faults.append(f"tool_use with input {compact(arguments)[:80]}")
            found.calls.append(Call(block.get("id") or "", name, compact(arguments)))


def _usage_of(usage: Any) -> dict[str, Any]:
    """Anthropic does not include cached input in `input_tokens`, and does not count reasoning separately."""
    if not isinstance(usage, dict):
        return {}
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    plain = usage.get("input_tokens")
    return {
        "input": plain if plain is None else plain + (read or 0) + (written or 0),
        "output": usage.get("output_tokens"),
        "cached": read,
    }


class _Stream:
    """Merges the events as anthropic-python does."""

    def __init__(self, answer: Answer) -> None:
        self.found = Observed(answer)
        self.blocks: list[dict[str, Any]] = []
        self.open: int | None = None
        self.has_begun = False
        self.usage: dict[str, Any] = {}

    def read(self) -> Observed:
        for at, event, data in self.found.answer.frames():
            if isinstance(data, dict):
                self.found.parsed.append(data)
                if data.get("type") != event:
                    self._fault(f"event {event} has type {data.get('type')}")
                self._check_order(data.get("type"))
                self._add(data, at)
        if self.found.finish_reason == "length" and self.blocks and "json" in self.blocks[-1]:
            self.blocks.pop()  # a call that the output limit cut off
        for block in self.blocks:
            self._close(block)
            _add_block(self.found, block)
        self.found.usage = _usage_of(self.usage)
        return self.found

    def _fault(self, text: str) -> None:
        self.found.faults.append(text)

    def _check_order(self, kind: str | None) -> None:
        if not self.has_begun and kind not in {"message_start", "ping", "error"}:
            self._fault(f"{kind} before message_start")
        if self.found.is_complete:
            self._fault(f"{kind} after message_stop")

    def _add(self, data: dict[str, Any], at: float) -> None:
        match data.get("type"):
            case "message_start":
                self.has_begun = True
                self.found.model = data["message"].get("model")
                self.usage |= data["message"].get("usage") or {}
            case "content_block_start":
                if data.get("index") != len(self.blocks) or self.open is not None:
                    self._fault(f"block {data.get('index')} begins, {len(self.blocks)} expected")
                self.blocks.append({**data["content_block"]})
                self.open = data.get("index")
            case "content_block_delta":
                self._add_delta(data, at)
            case "content_block_stop":
                if data.get("index") != self.open:
                    self._fault(f"block {data.get('index')} ends, {self.open} is open")
                self.open = None
            case "message_delta":
                _set_finish(self.found, (data.get("delta") or {}).get("stop_reason"))
                self.usage |= {k: v for k, v in (data.get("usage") or {}).items() if v is not None}
            case "message_stop":
                if self.open is not None:
                    self._fault("message_stop within a block")
                self.found.is_complete = True
            case "error":
                self.found.error = error_of(data)
                if not self.found.error.type:
                    self._fault("an error without a type")

    def _add_delta(self, data: dict[str, Any], at: float) -> None:
        if data.get("index") != self.open or not self.blocks:
            self._fault(f"delta for block {data.get('index')}, {self.open} is open")
            return
        block, delta = self.blocks[-1], data.get("delta") or {}
        self.found.note_word(at)
        for kind, key in (
            ("text_delta", "text"),
            ("thinking_delta", "thinking"),
            ("signature_delta", "signature"),
        ):
            if delta.get("type") == kind:
                block[key] = (block.get(key) or "") + (delta.get(key) or "")
        if delta.get("type") == "input_json_delta":
            block["json"] = block.get("json", "") + (delta.get("partial_json") or "")

    def _close(self, block: dict[str, Any]) -> None:
        if text := block.pop("json", ""):
            try:
                block["input"] = json.loads(text)
            except ValueError:
                block["input"] = text
