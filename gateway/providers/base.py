"""Requests to a provider and the events of its reply, in any wire format."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NativeParameters:
    """The parameters of a client that speaks Anthropic's protocol, see `anthropic_native`.

    `translated` are the names in `ModelRequest.extra` that express the same for other providers.
    """

    parameters: JsonObject
    translated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call. Messages and tools have OpenAI's chat-completions shape; bounds are tokens."""

    model: str
    messages: list[JsonObject]
    max_tokens: int
    temperature: float | None = None
    tools: list[JsonObject] = field(default_factory=list)
    extra: JsonObject = field(default_factory=dict)  # parameters passed through as the client sent them
    headers: dict[str, str] = field(default_factory=dict)  # also passed on, such as `anthropic-beta`
    native: NativeParameters | None = None  # if the client speaks Anthropic's protocol


def has_images(messages: Sequence[JsonObject]) -> bool:
    return count_images(messages) > 0


def count_images(messages: Sequence[JsonObject]) -> int:
    """Images in the contents, and in the `images` of replies that are sent back."""
    return sum(is_image(part) for message in messages for part in _parts(message))


def has_files(messages: Sequence[JsonObject]) -> bool:
    """Whether there is a document or sound: its size does not bound its tokens."""
    return any(
        isinstance(part, dict) and part.get("type") in ("file", "input_audio", "document")
        for message in messages
        for part in _parts(message)
    )


def _parts(message: JsonObject) -> list[Any]:
    lists = [message.get(name) for name in ("content", "images")]
    return [part for parts in lists if isinstance(parts, list) for part in parts]


def is_image(part: Any) -> bool:
    """Whether it is a content part with an image."""
    return isinstance(part, dict) and part.get("type") == "image_url"


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """The model declines in words; OpenAI sends them separately from the reply's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """Pieces of tool calls as OpenAI streams them: `[{index, id, type, function: {name, arguments}}]`.

    Each id and name is sent once, complete, in a call's first piece; arguments are text in any number of
    pieces, together a JSON object. A custom tool's call has `custom: {name, input}` in place of `function`.
    Other fields of the first piece, such as `extra_content`, are the provider's own.
    """

    calls: list[JsonObject]


@dataclass(frozen=True, slots=True)
class Extra:
    """Another field of an answer, as the provider sent it.

    `place` is the object that has the field: `message` (annotations, images, reasoning_details, audio),
    `choice` (logprobs) or `answer` (citations). Lists of several events with one name are joined.

    A message's `reasoning_details` are OpenRouter's, which has a format for every provider: Claude's thinking
    is `{"type": "reasoning.text", "text", "signature", "format": "anthropic-claude-v1"}`, redacted thinking
    `{"type": "reasoning.encrypted", "data", "format": "anthropic-claude-v1"}`.
    (https://openrouter.ai/docs/use-cases/reasoning-tokens)
    """

    place: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The provider's own count for the call so far, in tokens; the last of several applies.

    A count is negative if the provider sent something else.
    """

    input_tokens: int  # including those read from, or written to, the provider's cache
    output_tokens: int  # including reasoning
    cached_tokens: int = 0  # part of the input, read from the cache: these cost less
    reasoning_tokens: int = 0  # part of the output, if the provider reports it
    cache_written_tokens: int = 0  # part of the input, written to the cache


@dataclass(frozen=True, slots=True)
class Finish:
    """The end: `stop`, `length`, `tool_calls` or `content_filter`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened before the reply: `retry` or `fallback`, with its details."""

    kind: str
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Answering:
    """Which of the turn's models answers, before its first output: the requested one, or a fallback."""

    model: str  # slug
    provider: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Bytes of the reply that arrived but could not be parsed; they are counted and not shown."""

    size: int


ModelEvent = (
    TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | Extra
    | UsageReport
    | Finish
    | Notice
    | Answering
    | Unread
)


class Provider(Protocol):
    """Answers model calls. `stream` ends after a Finish, or raises ProviderError or ContextTooLong."""

    name: str
    has_tokenizer: bool  # of its models, so `count_prompt` and `count_text` may return a count

    def body(self, request: ModelRequest) -> JsonObject:
        """The body that `stream` sends, from which a prompt's bound is computed. ProviderError for content
        that cannot be translated."""

    def hidden_prompt(self, request: ModelRequest) -> int:
        """The most tokens of its own instructions that the provider counts for such a request."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]: ...

    async def count_prompt(self, request: ModelRequest) -> int | None:
        """The exact tokens of the messages; None if the model's tokenizer is not available."""

    async def count_text(self, text: str) -> int | None:
        """The tokens of a piece of output; None likewise."""

    async def count_request(self, request: ModelRequest) -> int | None:
        """The exact tokens of the whole request, for a client that asks for them: it may take a request to
        the provider, which is free. None if the provider does not count; ProviderError, ContextTooLong."""

    async def health(self) -> None:
        """Returns if the provider answers; ProviderError if not."""
