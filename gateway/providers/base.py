"""What a provider is asked and what it answers, whatever its wire format."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call. Messages and tools have OpenAI's chat-completions shape; bounds are tokens."""

    model: str
    messages: list[JsonObject]
    max_tokens: int
    temperature: float | None = None
    tools: list[JsonObject] = field(default_factory=list)
    extra: JsonObject = field(default_factory=dict)  # parameters passed through as the client sent them


def has_images(messages: Sequence[JsonObject]) -> bool:
    contents = [message.get("content") for message in messages]
    return any(is_image(part) for parts in contents if isinstance(parts, list) for part in parts)


def is_image(part: Any) -> bool:
    """Whether it is a content part that shows an image."""
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
    """The provider's own count for the call so far, in tokens; of several the last one counts.

    A count is negative where the provider sent something that is no count.
    """

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


@dataclass(frozen=True, slots=True)
class Unread:
    """Bytes of the answer that arrived and could not be read; they are counted, and shown to nobody."""

    size: int


ModelEvent = TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Finish | Notice | Unread


class Provider(Protocol):
    """Answers model calls. `stream` ends after a Finish, or raises ProviderError or ContextTooLong."""

    name: str
    has_tokenizer: bool  # of its models: `count_prompt` and `count_text` may answer

    def body(self, request: ModelRequest) -> JsonObject:
        """All that `stream` sends for the request: what a prompt is bounded by. ProviderError for content
        that cannot be translated."""

    def hidden_prompt(self, request: ModelRequest) -> int:
        """The most tokens of the provider's own instructions that it counts for such a request."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]: ...

    async def count_prompt(self, request: ModelRequest) -> int | None:
        """The exact tokens of the messages, or None where the model's tokenizer is not at hand."""

    async def count_text(self, text: str) -> int | None:
        """The tokens of a piece of output, or None likewise."""

    async def health(self) -> None:
        """Returns when the provider answers; raises ProviderError when it does not."""
