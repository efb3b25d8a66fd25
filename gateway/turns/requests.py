"""A client's request for a turn, validated at the edge."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from kit.body_validation import validated
from kit.errors import InvalidInput

LONGEST_MESSAGE = 8_000_000  # characters; the model's window decides
LONGEST_KEY = 200
MOST_IMAGES = 8  # of one message


class StrictString(serializers.CharField):
    """Takes text only: DRF's own would read 12 as "12"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("This must be text.")
        text: str = super().to_internal_value(data)
        return text


class StrictInteger(serializers.IntegerField):
    """Takes whole numbers only: DRF's own would read "12" and true as well."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            raise ValidationError("This must be a whole number.")
        return data


class StrictBoolean(serializers.BooleanField):
    """Takes true and false only: DRF's own would read "yes" as well."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise ValidationError("This must be true or false.")
        return data


class StrictFloat(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            raise ValidationError("This must be a number.")
        return super().to_internal_value(data)


class SendSerializer(serializers.Serializer[Any]):
    """The body of `POST /v1/chat/send`, `/v1/chat/explain` and of a socket's `send` frame."""

    message = StrictString(
        max_length=LONGEST_MESSAGE, trim_whitespace=False, required=False, allow_null=True, default=None
    )
    model = StrictString(max_length=60)
    mcps = serializers.ListField(
        child=StrictString(max_length=60), required=False, max_length=50, default=list
    )
    conversation_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    replaces = serializers.UUIDField(
        required=False,
        allow_null=True,
        default=None,
        help_text="A turn to regenerate; with `message`, an edited message replaces it",
    )
    prompt = StrictString(
        max_length=60,
        required=False,
        allow_null=True,
        default=None,
        help_text="A prompt's slug or id; its text is the message, placed before `message` if both are sent",
    )
    variables = serializers.DictField(required=False, default=dict, help_text="The prompt's values by name")
    images = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=MOST_IMAGES,
        default=list,
        help_text="Ids from `POST /v1/images`, unsent; or those of the edited message",
    )
    max_tokens = StrictInteger(
        required=False, allow_null=True, default=None, min_value=1, max_value=1_000_000
    )
    temperature = StrictFloat(required=False, allow_null=True, default=None, min_value=0, max_value=2)

    def validate_message(self, message: str | None) -> str | None:
        if message is not None and not message.strip():
            raise ValidationError("Enter a message.")
        return message

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["replaces"] is None and data["message"] is None and data["prompt"] is None:
            raise ValidationError({"message": ["Enter a message."]})
        if data["replaces"] is not None and data["conversation_id"] is None:
            raise ValidationError({"conversation_id": ["Send the conversation_id of the turn to replace."]})
        if data["variables"] and data["prompt"] is None:
            raise ValidationError({"variables": ["Send the prompt that the variables belong to."]})
        if data["images"] and data["message"] is None and data["prompt"] is None:
            raise ValidationError({"images": ["A regenerated message keeps its own images."]})
        return data


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A validated request to send a message; `conversation_id` None starts a conversation.

    `replaces` names a turn to answer again on a new branch: with the same question if `message` is None, else
    with an edited one.
    """

    message: str | None
    model: str
    mcps: tuple[str, ...] = ()
    conversation_id: UUID | None = None
    replaces: UUID | None = None
    prompt: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    images: tuple[UUID, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    idempotency_key: str | None = None

    @classmethod
    def parse(cls, body: dict[str, Any], *, idempotency_key: str | None = None) -> "SendRequest":
        """InvalidInput names every wrong field."""
        data = validated(SendSerializer, body)
        lists = {name: tuple(data[name]) for name in ("mcps", "images")}
        return cls(**{**data, **lists}, idempotency_key=checked_key(idempotency_key))

    @property
    def body_hash(self) -> str:
        """The same for equal requests, however their JSON was written."""
        fields = [
            self.message,
            self.model,
            self.mcps,
            self.conversation_id,
            self.replaces,
            self.prompt,
            self.variables,
            self.max_tokens,
            self.temperature,
            *([self.images] if self.images else []),
        ]
        return hashlib.sha256(json.dumps(fields, default=str, sort_keys=True).encode()).hexdigest()


def checked_key(key: str | None) -> str | None:
    """An Idempotency-Key of printable ASCII, or None."""
    if not key:
        return None
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        problem = f"Use at most {LONGEST_KEY} printable ASCII characters."
        raise InvalidInput(**{"Idempotency-Key": [problem]})
    return key
