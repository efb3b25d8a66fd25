"""A model call's reply in OpenAI's wire format, for clients on both sides of the gateway.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

KNOWN_REASONS = {"stop", "length", "tool_calls", "content_filter"}
DONE = b"data: [DONE]\n\n"
# Parameters that are passed through to the provider, and the most bytes of JSON that each may have.
MOST_BYTES = {
    "top_p": 100,
    "stop": 8 * 1024,
    "seed": 100,
    "tool_choice": 16 * 1024,
    "parallel_tool_calls": 100,
    "response_format": 128 * 1024,
    "presence_penalty": 100,
    "frequency_penalty": 100,
    "logit_bias": 16 * 1024,
}
PASSED_THROUGH = tuple(MOST_BYTES)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields that every chunk of one completion repeats."""

    turn_id: UUID
    created: int
    model: str

    def answered_by(self, model: str) -> "Envelope":
        return replace(self, model=model)

    def chunk(self, delta: dict[str, Any], **choice_fields: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **choice_fields}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}

    def whole(self, choice: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """With one choice: its `message`, `finish_reason` and other fields."""
        whole = {"index": 0, "logprobs": None, **choice}
        return {**self._head("chat.completion"), "choices": [whole], "usage": usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.turn_id.hex}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


def usage_of(input_tokens: int, output_tokens: int) -> dict[str, int]:
    """Token counts in OpenAI's format."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def finish_reason_of(reason: str) -> str:
    return reason if reason in KNOWN_REASONS else "stop"


def line(data: dict[str, Any]) -> bytes:
    """One server-sent event in OpenAI's format."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
