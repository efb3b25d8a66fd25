"""An engine's request for a model call, from OpenAI's wire format."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from gateway.calls.call_images import SCHEME
from gateway.calls.client_input import check_messages, check_parameters, check_tools
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.openai_chunks import PASSED_THROUGH
from kit.errors import InvalidInput
from workspaces.language_models.queries import ModelRef

ROUTED = "routed"  # the only model that engines know
MOST_TOKENS = 10**9  # more than any context window, less than the maximum of a hold


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """An engine's request; the gateway chooses its model."""

    messages: list[JsonObject]
    tools: list[JsonObject]
    max_tokens: int | None
    temperature: float | None
    extra: JsonObject
    stream: bool
    fingerprint: str

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> "RoutedRequest":
        """InvalidInput for a request that no supported engine sends."""
        if body.get("model") != ROUTED:
            raise InvalidInput(model=[f"The only model here is {ROUTED!r}."])
        messages = _objects(body, "messages", required=True)
        check_messages(messages, own_images=SCHEME)
        tools = _objects(body, "tools")
        check_tools(tools, most_bytes=settings.EGRESS_MAX_BODY_BYTES)
        extra = {name: body[name] for name in PASSED_THROUGH if body.get(name) is not None}
        check_parameters(extra)
        bound = body.get("max_completion_tokens") or body.get("max_tokens")
        temperature = body.get("temperature")
        return cls(
            messages=messages,
            tools=tools,
            max_tokens=min(bound, MOST_TOKENS) if type(bound) is int and bound > 0 else None,
            temperature=temperature if isinstance(temperature, int | float) else None,
            extra=extra,
            stream=bool(body.get("stream")),
            fingerprint=hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(),
        )

    def request_to(self, model: ModelRef) -> ModelRequest:
        return ModelRequest(
            model=model.upstream_name,
            messages=self.messages,
            max_tokens=self.max_tokens or model.output_bound,
            temperature=self.temperature,
            tools=self.tools,
            extra=self.extra,
        )


def _objects(body: dict[str, Any], name: str, *, required: bool = False) -> list[JsonObject]:
    value = body.get(name) or []
    sound = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    if not sound or (required and not value):
        raise InvalidInput(**{name: ["Send a list of objects."]})
    return value
