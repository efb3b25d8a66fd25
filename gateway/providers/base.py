"""What a provider is asked and what it answers, whatever its wire format."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

JsonObject = dict[str, Any]

# The most tokens that a provider counts for one image: OpenAI's gpt-4o-mini, 2833 + 8 tiles of 5667 each
# (https://platform.openai.com/docs/guides/images-vision#calculating-costs). Others stay far below: Qwen2-VL
# 16384, Claude under 5000, gpt-4o 1445.
IMAGE_BOUND = 48_169


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call. Messages and tools have OpenAI's chat-completions shape; bounds are tokens."""

    model: str
    messages: list[JsonObject]
    max_tokens: int
    temperature: float | None = None
    tools: list[JsonObject] = field(default_factory=list)
    extra: JsonObject = field(default_factory=dict)  # parameters passed through as the client sent them

    @property
    def byte_bound(self) -> int:
        """An upper bound of the prompt's tokens where no tokenizer is at hand: a token is at least a byte.

        Images are bounded by what providers count for one, whatever their bytes or the length of their URL.
        """
        contents = [message.get("content") for message in self.messages]
        images = sum(_is_image(part) for parts in contents if isinstance(parts, list) for part in parts)
        told = [_without_images(message) for message in self.messages]
        text = json.dumps([told, self.tools], ensure_ascii=False, separators=(",", ":"))
        return len(text.encode("utf-8", "surrogatepass")) + images * IMAGE_BOUND


def has_images(messages: Sequence[JsonObject]) -> bool:
    contents = [message.get("content") for message in messages]
    return any(_is_image(part) for parts in contents if isinstance(parts, list) for part in parts)


def _without_images(message: JsonObject) -> JsonObject:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [part for part in content if not _is_image(part)]}


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """Pieces of tool calls as OpenAI streams them: `[{index, id?, function: {name?, arguments?}}]`."""

    calls: list[JsonObject]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The provider's own count for the call so far, in tokens; of several the last one counts."""

    input_tokens: int  # with those that were read from, or written to, the provider's cache
    output_tokens: int  # with those of the reasoning
    cached_tokens: int = 0  # of the input, those read from the cache: they cost less
    reasoning_tokens: int = 0  # of the output, as far as the provider tells


@dataclass(frozen=True, slots=True)
class Finish:
    """The end: `stop`, `length`, `tool_calls` or `content_filter`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened on the way to an answer: `retry` or `fallback`, with what it was about."""

    kind: str
    data: JsonObject


ModelEvent = TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Finish | Notice


class Provider(Protocol):
    """Answers model calls. `stream` ends after a Finish, or raises ProviderError or ContextTooLong."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]: ...

    async def count_prompt(self, request: ModelRequest) -> int | None:
        """The prompt's exact tokens, or None where the model's tokenizer is not at hand."""

    async def count_text(self, text: str) -> int | None:
        """The tokens of a piece of output, or None likewise."""

    async def health(self) -> None:
        """Returns when the provider answers; raises ProviderError when it does not."""
