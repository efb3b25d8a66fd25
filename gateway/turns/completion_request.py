"""A request for one model call, validated and typed; the provider judges fields that are passed on.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from gateway.calls.client_input import check_messages, check_tools
from gateway.calls.client_parameters import passed_through
from gateway.providers.base import NativeParameters
from gateway.turns.requests import StrictBoolean, StrictFloat, StrictInteger, StrictString
from gateway.turns.stored_response import ResponseRecord
from gateway.turns.workspace_tools import KIND as MCP_TOOL
from gateway.turns.workspace_tools import ChosenServer, split_tools
from kit.body_validation import validated
from kit.errors import InvalidInput
from kit.json_input import is_sound

ROLES = ("system", "developer", "user", "assistant", "tool")
MOST_MESSAGES = 10_000


class CompletionSerializer(serializers.Serializer[Any]):
    """The fields of a completion's body that we validate."""

    model = StrictString(max_length=60)
    messages = serializers.ListField(
        child=serializers.DictField(), allow_empty=False, max_length=MOST_MESSAGES
    )
    stream = StrictBoolean(required=False, default=False, allow_null=True)
    stream_options = serializers.DictField(required=False, allow_null=True, default=None)
    max_tokens = StrictInteger(
        required=False, allow_null=True, default=None, min_value=1, max_value=1_000_000
    )
    max_completion_tokens = StrictInteger(
        required=False, allow_null=True, default=None, min_value=1, max_value=1_000_000
    )
    temperature = StrictFloat(required=False, allow_null=True, default=None, min_value=0, max_value=2)
    tools = serializers.ListField(
        child=serializers.DictField(), required=False, allow_null=True, default=None, max_length=128
    )
    n = StrictInteger(required=False, allow_null=True, default=1, min_value=1, max_value=1)

    def validate_messages(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(message.get("role") not in ROLES for message in messages):
            raise serializers.ValidationError(f"Each message needs a role: {', '.join(ROLES)}.")
        return messages


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A validated request for one model call.

    Messages and tools have the shape of OpenAI's chat completions, in every protocol;
    `native` has the parameters as a client of Anthropic's protocol sent them.
    """

    model: str
    messages: list[dict[str, Any]]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    temperature: float | None
    tools: list[dict[str, Any]]
    servers: tuple[ChosenServer, ...] = ()  # of the workspace, whose tools the model may call
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    native: NativeParameters | None = None
    body_hash: str = ""
    truncates: bool = False  # leaves out the oldest messages instead of refusing too long a request
    record: ResponseRecord | None = None  # stored with the turn, which then belongs to a conversation

    @classmethod
    def from_body(
        cls,
        body: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        original: dict[str, Any] | None = None,
    ) -> "CompletionRequest":
        """From a body in OpenAI's format, and the headers that are passed on. `original` is what the client
        sent, if `body` is its translation.

        InvalidInput names each invalid field, texts that are not valid Unicode (those of a translation have
        been checked), and each field that is not passed on.
        """
        data = validated(CompletionSerializer, body, ignores_unknown=True)
        if original is None:
            expect_sound(body)
        extra = passed_through(body)
        check_messages(data["messages"])
        check_tools(data["tools"] or [], others=(MCP_TOOL,))
        tools, servers = split_tools(data["tools"] or [])
        return cls(
            model=data["model"],
            messages=data["messages"],
            stream=bool(data["stream"]),
            include_usage=bool((data["stream_options"] or {}).get("include_usage")),
            max_tokens=data["max_completion_tokens"] or data["max_tokens"],
            temperature=data["temperature"],
            tools=tools,
            servers=servers,
            extra=extra,
            headers=headers or {},
            body_hash=hashlib.sha256(json.dumps(original or body, sort_keys=True).encode()).hexdigest(),
        )


def expect_sound(body: dict[str, Any]) -> None:
    """InvalidInput names each field with text that is not valid Unicode."""
    invalid = [name for name, value in body.items() if not is_sound({name: value})]
    if invalid:
        raise InvalidInput(**{name: ["This holds half of a surrogate pair."] for name in invalid})
