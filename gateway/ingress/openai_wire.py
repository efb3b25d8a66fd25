"""Our words in OpenAI's wire format, so that its own clients work unchanged.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from gateway.egress.allowed import check_messages, check_parameters, check_tools
from gateway.egress.openai_chunks import PASSED_THROUGH
from gateway.ingress.requests import StrictFloat, StrictInteger, StrictString
from kit.errors import DomainError, InvalidInput, QuotaExceeded
from kit.json_input import is_sound

ROLES = ("system", "developer", "user", "assistant", "tool")


class CompletionSerializer(serializers.Serializer[Any]):
    """What is checked of a completion's body; the parameters passed through are the provider's to judge."""

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
        """From a body and what its serializer made of it.

        InvalidInput names texts that are no Unicode, and all that is not sent on to providers.
        """
        unsound = [name for name in ("messages", "tools", *PASSED_THROUGH) if not is_sound(body.get(name))]
        if unsound:
            raise InvalidInput(**{name: ["This holds half of a surrogate pair."] for name in unsound})
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


def error_body(error: DomainError, request_id: str) -> dict[str, Any]:
    """The one error shape with the `type` and `param` that OpenAI's clients look for."""
    param = next(iter(error.details), None) if isinstance(error, InvalidInput) else None
    return {"error": {**error.as_dict(request_id), "type": error_type(error), "param": param}}


def error_type(error: DomainError) -> str:
    if isinstance(error, QuotaExceeded):
        return "insufficient_quota"
    by_status = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        409: "conflict_error",
        429: "rate_limit_error",
    }
    return by_status.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
