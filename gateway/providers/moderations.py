"""Moderations in OpenAI's format: the request to a provider, and its results unchanged.

Protocol: https://platform.openai.com/docs/api-reference/moderations
"""

from dataclasses import dataclass, field
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject, UsageReport
from gateway.providers.embeddings import Asked, error_in_answer, parsed_answer, usage_of
from gateway.providers.garbled import an_object, objects

RESULT_BYTES, BYTES_BEYOND = 32 * 1024, 1024 * 1024
# OpenAI charges nothing for moderations and reports no tokens: the unit is a request.
FREE = "openai"


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """One call; `input` and `extra` are passed on as the client sent them."""

    model: str
    input: Any = field(repr=False)
    expected: int  # results; one for a list of parts
    extra: JsonObject = field(default_factory=dict)

    def body(self) -> JsonObject:
        return {**self.extra, "model": self.model, "input": self.input}


@dataclass(frozen=True, slots=True)
class Moderation:
    """The provider's results, one per input; `usage` None: it reported no count."""

    id: str
    results: list[JsonObject] = field(repr=False)
    usage: UsageReport | None


async def moderate(provider: Asked, request: ModerationRequest) -> Moderation:
    """ProviderError (also for a wrong number of results), ContextTooLong, AtCapacity, as in chats."""
    most = request.expected * RESULT_BYTES + BYTES_BEYOND
    received = await provider.ask("/moderations", request.body(), most_bytes=most)
    answer = parsed_answer(received, provider.name)
    if error := answer.get("error"):
        raise error_in_answer(error, provider.name)
    results = objects(answer.get("results"))
    if len(results) != request.expected:
        text = f"The provider returned {len(results)} results for {request.expected} inputs."
        raise ProviderError(text, provider=provider.name, provider_status=200)
    usage = usage_of(an_object(answer.get("usage")))
    if usage is None and provider.name == FREE:
        usage = UsageReport(0, 0)
    return Moderation(str(answer.get("id") or ""), results, usage)
