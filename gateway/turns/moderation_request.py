"""A client's request for a moderation, validated and typed.

Protocol: https://platform.openai.com/docs/api-reference/moderations/create
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gateway.calls.client_input import check_messages
from gateway.calls.input_bounds import bound_inputs
from gateway.providers.base import JsonObject
from gateway.providers.moderations import ModerationRequest, moderate
from gateway.providers.registry import asked_provider
from gateway.providers.sizes import IMAGE_BOUND
from gateway.turns.embedding_request import check_extra
from gateway.turns.requests import StrictString
from gateway.turns.whole_call import PreparedCall
from kit.errors import InvalidInput
from kit.json_input import is_sound
from workspaces.language_models.queries import ModelRef

MOST_INPUTS = 512
OWN = ("model", "input")
INPUT_SCHEMA = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_INPUTS},
        {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_INPUTS},
    ],
    "description": "A text, a list of texts, or a list of `text` and `image_url` parts",
}


@extend_schema_field(INPUT_SCHEMA)
class ModeratedField(serializers.Field[Any, Any, Any, Any]):
    def to_internal_value(self, data: Any) -> Any:
        listed = data if isinstance(data, list) else [data]
        if not 0 < len(listed) <= MOST_INPUTS:
            raise serializers.ValidationError(f"Send 1 to {MOST_INPUTS} inputs.")
        kinds = {type(one) for one in listed}
        if kinds not in ({str}, {dict}) or isinstance(data, dict):
            raise serializers.ValidationError("Send a text, a list of texts, or a list of parts.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ModerationSerializer(serializers.Serializer[Any]):
    """The fields of the body that we validate; others are passed on to the provider."""

    model = StrictString(max_length=60)
    input = ModeratedField()


def _check_parts(parts: list[Any]) -> None:
    """InvalidInput with the path of each part that a chat does not take either."""
    try:
        check_messages([{"role": "user", "content": parts}])
    except InvalidInput as exc:
        found = {name.replace("messages[0].content", "input"): text for name, text in exc.details.items()}
        raise InvalidInput(**found) from exc


@dataclass(frozen=True, slots=True)
class ModerationCall:
    """A validated request; `extra` is passed on as it was sent."""

    model: str
    input: Any = field(repr=False)
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: JsonObject, data: JsonObject) -> "ModerationCall":
        """From a body and its validated `data`. InvalidInput."""
        extra = {name: value for name, value in body.items() if name not in OWN and value is not None}
        check_extra(extra)
        if not is_sound(data["input"]):
            raise InvalidInput(input=["This holds half of a surrogate pair."])
        if isinstance(data["input"], list) and isinstance(data["input"][0], dict):
            _check_parts(data["input"])
        return cls(data["model"], data["input"], extra)

    async def prepare(self, model: ModelRef) -> PreparedCall:
        listed = self.input if isinstance(self.input, list) else [self.input]
        is_parts = isinstance(listed[0], dict)
        request = ModerationRequest(
            model.upstream_name, self.input, 1 if is_parts else len(listed), self.extra
        )
        provider = asked_provider(model)
        texts = [str(part.get("text") or "") for part in listed] if is_parts else listed
        bounds, estimate = await bound_inputs(model, texts, self.extra)
        images = sum("image_url" in part for part in listed) if is_parts else 0
        bounds = replace(bounds, prompt=bounds.prompt + images * IMAGE_BOUND, least=0)
        return PreparedCall(bounds, None if images else estimate, partial(moderate, provider, request))
