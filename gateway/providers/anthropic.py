"""Anthropic's Messages API, streamed.

Protocol: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/errors
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.providers.anthropic_events import AnthropicReader
from gateway.providers.anthropic_request import messages_body
from gateway.providers.base import JsonObject, ModelEvent, ModelRequest
from gateway.providers.exchange import ClientFactory, Exchange, url_below
from gateway.providers.garbled import is_count, parsed
from gateway.providers.sizes import longest_line, most_received
from gateway.providers.streams import read_events
from kit.outbound import model_client

VERSION = "2023-06-01"
# The longest system prompt that a model adds for tools, in tokens: that of Claude 3 Opus
# (https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview#pricing).
TOOL_PROMPT = 530
# The fields that its token counting endpoint takes; it refuses others.
COUNTED = {
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "cache_control",
    "context_management",
}
LARGEST_COUNT = 64 * 1024  # bytes of the answer


class AnthropicProvider:
    """Calls `<base_url>/messages`, where the base ends in `/v1`."""

    name = "anthropic"
    has_tokenizer = False

    def __init__(self, base_url: str, *, api_key: str = "", client: ClientFactory = model_client) -> None:
        self.base_url = base_url
        headers = {"anthropic-version": VERSION, **({"x-api-key": api_key} if api_key else {})}
        self._exchange = Exchange(self.name, client, headers)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        url, bound = url_below(self.base_url, "/messages"), request.max_tokens
        chunks = self._exchange.post(
            url, self.body(request), headers=request.headers, most_bytes=most_received(bound)
        )
        reading = read_events(
            chunks,
            AnthropicReader(self.name),
            longest_line=longest_line(bound),
            secrets=self._exchange.secrets(),
        )
        async with aclosing(reading) as events:
            async for event in events:
                yield event

    def body(self, request: ModelRequest) -> JsonObject:
        return messages_body(request)

    def hidden_prompt(self, request: ModelRequest) -> int:
        uses_tools = request.tools or any(message.get("tool_calls") for message in request.messages)
        return TOOL_PROMPT if uses_tools else 0

    async def count_prompt(self, request: ModelRequest) -> int | None:
        return None

    async def count_text(self, text: str) -> int | None:
        return None

    async def count_request(self, request: ModelRequest) -> int | None:
        """By Anthropic's own endpoint (https://docs.anthropic.com/en/api/messages-count-tokens)."""
        url = url_below(self.base_url, "/messages/count_tokens")
        body = {name: value for name, value in self.body(request).items() if name in COUNTED}
        chunks = self._exchange.post(url, body, headers=request.headers, most_bytes=LARGEST_COUNT)
        async with aclosing(chunks):
            answer = b"".join([chunk async for chunk in chunks])
        found = parsed(answer.decode("utf-8", "replace"))
        count = found[0].get("input_tokens") if found else None
        return count if is_count(count) else None

    async def health(self) -> None:
        await self._exchange.check(url_below(self.base_url, "/models"))
