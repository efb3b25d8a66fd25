"""A client's request for embeddings, validated and typed.

Protocol: https://platform.openai.com/docs/api-reference/embeddings/create
"""

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gateway.calls.input_bounds import bound_inputs
from gateway.providers.base import JsonObject
from gateway.providers.embeddings import EmbeddingRequest, Inputs, embed
from gateway.providers.local_embeddings import refused_input
from gateway.providers.registry import asked_provider
from gateway.providers.sizes import encoded
from gateway.turns.requests import StrictInteger, StrictString
from gateway.turns.whole_call import PreparedCall
from kit.errors import InvalidInput
from kit.json_input import is_sound
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef

MOST_INPUTS = 2048  # OpenAI's limit, and that of most others or more
MOST_TOKENS = 300_000  # of all lists of tokens together: OpenAI's limit
HIGHEST_TOKEN = 2**31 - 1
LARGEST_EXTRA = 16 * 1024  # bytes of JSON of the parameters that are passed on
# Outside of texts: 300,000 tokens of up to 7 characters, each with a comma and a space.
LARGEST_STRUCTURE = 3 * 1024 * 1024
# Possessive, and an unterminated text ends with the body: linear in its length.
TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
OWN = ("model", "input", "encoding_format", "stream")
INPUT_SCHEMA = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_INPUTS},
        {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        {
            "type": "array",
            "items": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "minItems": 1,
            "maxItems": MOST_INPUTS,
        },
    ],
    "description": "A text, a list of texts, or the same as tokens, for models that take them",
}


@extend_schema_field(INPUT_SCHEMA)
class InputField(serializers.Field[Any, Any, Any, Any]):
    """Returns a list of texts, or of lists of tokens; a single one becomes a list of one."""

    def to_internal_value(self, data: Any) -> Any:
        inputs = data if isinstance(data, list) and not _is_tokens(data) else [data]
        if not 0 < len(inputs) <= MOST_INPUTS:
            raise serializers.ValidationError(f"Send 1 to {MOST_INPUTS:,} inputs.")
        if all(isinstance(one, str) for one in inputs):
            return inputs
        if not all(_is_tokens(one) for one in inputs):
            raise serializers.ValidationError("Send a text, a list of texts, or lists of tokens.")
        if sum(map(len, inputs)) > MOST_TOKENS:
            raise serializers.ValidationError(f"Send at most {MOST_TOKENS:,} tokens.")
        return inputs

    def to_representation(self, value: Any) -> Any:
        return value


def _is_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(token) is int and 0 <= token <= HIGHEST_TOKEN for token in value)
    )


class EmbeddingSerializer(serializers.Serializer[Any]):
    """The fields of the body that we validate; others are passed on to the provider."""

    model = StrictString(max_length=60)
    input = InputField()
    encoding_format = serializers.ChoiceField(
        choices=["float", "base64"], required=False, allow_null=True, default=None
    )
    dimensions = StrictInteger(required=False, allow_null=True, default=None, min_value=1, max_value=100_000)
    user = StrictString(max_length=2000, required=False, allow_null=True, default=None)
    stream = serializers.BooleanField(required=False, allow_null=True, default=False)

    def validate_stream(self, stream: bool | None) -> bool:
        if stream:
            raise serializers.ValidationError("Embeddings are not streamed.")
        return False


def check_structure(body: bytes) -> None:
    """InvalidInput for a body whose numbers and lists would take much memory; texts may be as long as it.

    Counted before it is parsed, in 1 ms a megabyte: millions of empty lists would take a gigabyte.
    """
    if len(body) > LARGEST_STRUCTURE and len(TEXTS.sub(b"", body)) > LARGEST_STRUCTURE:
        raise InvalidInput(input=[f"Send at most {MOST_TOKENS:,} tokens, without needless spaces."])


def check_extra(extra: JsonObject) -> None:
    """InvalidInput for parameters that are passed on and are too large, or not valid Unicode."""
    if not is_sound(list(extra)):
        raise InvalidInput(body=["A name holds half of a surrogate pair."])
    if wrong := [name for name, value in extra.items() if not is_sound(value)]:
        raise InvalidInput(**{name: ["This holds half of a surrogate pair."] for name in wrong})
    if len(encoded(extra)) > LARGEST_EXTRA:
        largest = max(extra, key=lambda name: len(encoded({name: extra[name]})))
        text = f"Too large. All parameters together may have {LARGEST_EXTRA:,} bytes of JSON."
        raise InvalidInput(**{largest: [text]})


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A validated request; `extra` is passed on as it was sent."""

    model: str
    inputs: Inputs = field(repr=False)
    encoding_format: str = ""
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: JsonObject, data: JsonObject) -> "EmbeddingCall":
        """From a body and its validated `data`. InvalidInput."""
        extra = {name: value for name, value in body.items() if name not in OWN and value is not None}
        check_extra(extra)
        if not is_sound([one for one in data["input"] if isinstance(one, str)]):
            raise InvalidInput(input=["This holds half of a surrogate pair."])
        return cls(data["model"], data["input"], data["encoding_format"] or "", extra)

    @property
    def is_tokens(self) -> bool:
        return not isinstance(self.inputs[0], str)

    async def prepare(self, model: ModelRef) -> PreparedCall:
        self._check(model)
        request = EmbeddingRequest(
            model=model.upstream_name,
            inputs=self.inputs,
            encoding_format=self.encoding_format,
            extra=self.extra,
        )
        provider = asked_provider(model)
        bounds, estimate = await bound_inputs(model, self.inputs, self.extra)
        return PreparedCall(bounds, estimate, partial(embed, provider, request))

    def _check(self, model: ModelRef) -> None:
        """What this model cannot take."""
        wrong: dict[str, list[str]] = {}
        if model.provider == LanguageModel.Provider.LOCAL:
            wrong |= refused_input(self.inputs, self.extra)
        elif self.is_tokens:
            too_long = [at for at, one in enumerate(self.inputs) if len(one) > model.context_window]
            if too_long:
                at, most = too_long[0], model.context_window
                text = (
                    f"It has {len(self.inputs[at]):,} tokens. The model takes at most {most:,} in one input."
                )
                wrong[f"input[{at}]"] = [text]
        if wrong:
            raise InvalidInput(**wrong)
