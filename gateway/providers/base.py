"""What a provider is asked and what it answers, whatever its wire format."""

import json
from collections.abc import AsyncGenerator
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

    @property
    def byte_bound(self) -> int:
        """An upper bound of the prompt's tokens where no tokenizer is at hand: a token is at least a byte."""
        text = json.dumps([self.messages, self.tools], ensure_ascii=False, separators=(",", ":"))
        return len(text.encode("utf-8", "surrogatepass"))


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
    """The provider's own count for the call, in tokens."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The end: `stop`, `length`, `tool_calls` or `content_filter`."""

    reason: str


ModelEvent = TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Finish


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
