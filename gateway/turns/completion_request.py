"""A completion's request, validated and typed; the provider validates the parameters that are passed on.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from gateway.calls.client_input import check_messages, check_parameters, check_tools
from gateway.providers.openai_chunks import PASSED_THROUGH
from gateway.turns.requests import StrictFloat, StrictInteger, StrictString
from kit.errors import InvalidInput
from kit.json_input import is_sound

ROLES = ("system", "developer", "user", "assistant", "tool")


class CompletionSerializer(serializers.Serializer[Any]):
    """The fields of a completion's body that we validate."""

    model = StrictString(max_length=60)
    messages = serializers.ListField(child=serializers.DictField(), allow_empty=False, max_length=2000)
    stream = serializers.BooleanField(required=False, default=False, allow_null=True)
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
    """A validated completion request."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    temperature: float | None
    tools: list[dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: dict[str, Any], data: dict[str, Any]) -> "CompletionRequest":
        """From a body and its validated `data`.

        InvalidInput names texts that are not valid Unicode, and all fields that are not passed on.
        """
        invalid = [name for name in ("messages", "tools", *PASSED_THROUGH) if not is_sound(body.get(name))]
        if invalid:
            raise InvalidInput(**{name: ["This holds half of a surrogate pair."] for name in invalid})
        extra = {name: body[name] for name in PASSED_THROUGH if body.get(name) is not None}
        check_messages(data["messages"])
        check_tools(data["tools"] or [])
        check_parameters(extra)
        return cls(
            model=data["model"],
            messages=data["messages"],
            stream=bool(data["stream"]),
            include_usage=bool((data["stream_options"] or {}).get("include_usage")),
            max_tokens=data["max_completion_tokens"] or data["max_tokens"],
            temperature=data["temperature"],
            tools=data["tools"] or [],
            extra=extra,
        )
