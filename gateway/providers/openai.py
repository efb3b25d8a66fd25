"""Providers that speak OpenAI's chat completions, streamed.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.anthropic_native import for_other_providers
from gateway.providers.base import JsonObject, ModelEvent, ModelRequest
from gateway.providers.dialects import Dialect, after_refusal, dialects
from gateway.providers.exchange import ClientFactory, Exchange, url_below
from gateway.providers.openai_events import OpenAIReader
from gateway.providers.sizes import longest_line, most_received
from gateway.providers.streams import read_events
from kit.outbound import model_client

# Parameters that bound the bill: a client cannot pass them through.
BILLING_PARAMETERS = {"max_tokens", "max_completion_tokens", "n", "stream", "stream_options"}
MOST_DIALECTS_TRIED = 2  # one for each field of ours that a server may refuse
# Fields of messages from other providers' replies, or meant for them.
NOT_OPENAIS = {
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "cache_control",
    "images",
    "annotations",
    "extra_content",
    "prefix",
}


class OpenAIProvider:
    """Calls `<base_url>/chat/completions` with the base's query. The bill stays within `max_tokens`."""

    name = "openai"
    output_bound = "max_completion_tokens"
    takes_late_system = True  # system messages after the first user message
    has_tokenizer = False

    def __init__(self, base_url: str, *, api_key: str = "", client: ClientFactory = model_client) -> None:
        self.base_url = base_url
        self._exchange = Exchange(self.name, client, self._headers(api_key))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """A request that is refused only for a field of ours is sent again without it."""
        for _ in range(MOST_DIALECTS_TRIED):
            begun = False
            try:
                async with aclosing(self._read(request)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ProviderError as refusal:
                dialect = None if begun else after_refusal(self._dialect(request), refusal)
                if dialect is None:
                    raise
                dialects().learn((self.base_url, request.model), dialect)
        async with aclosing(self._read(request)) as events:
            async for event in events:
                yield event

    def _read(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        url, bound = url_below(self.base_url, "/chat/completions"), request.max_tokens
        chunks = self._exchange.post(url, self.body(request), most_bytes=most_received(bound))
        return read_events(
            chunks,
            OpenAIReader(self.name),
            longest_line=longest_line(bound),
            secrets=self._exchange.secrets(),
        )

    def _dialect(self, request: ModelRequest) -> Dialect:
        return dialects().of((self.base_url, request.model), output_bound=self.output_bound)

    async def ask(self, path: str, body: JsonObject, *, most_bytes: int) -> bytes:
        """The whole answer to a request other than a chat; raises as `Exchange.post` does."""
        url = url_below(self.base_url, path)
        async with aclosing(self._exchange.post(url, body, most_bytes=most_bytes)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def _headers(self, api_key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def body(self, request: ModelRequest) -> JsonObject:
        request = for_other_providers(request, takes_late_system=self.takes_late_system)
        dialect = self._dialect(request)
        body: JsonObject = {
            **{name: value for name, value in request.extra.items() if name not in BILLING_PARAMETERS},
            "model": request.model,
            "messages": self.messages(request.messages),
            dialect.output_bound: request.max_tokens,
            "stream": True,
        }
        if dialect.takes_stream_options:
            body["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = self.tools(request.tools)
        return body

    def messages(self, messages: list[JsonObject]) -> list[JsonObject]:
        """Without the fields that only other providers know: OpenAI refuses them."""
        return [_plain_message(message) for message in messages]

    def tools(self, tools: list[JsonObject]) -> list[JsonObject]:
        return [{name: value for name, value in tool.items() if name != "cache_control"} for tool in tools]

    def hidden_prompt(self, request: ModelRequest) -> int:
        return 0

    async def count_prompt(self, request: ModelRequest) -> int | None:
        return None

    async def count_text(self, text: str) -> int | None:
        return None

    async def count_request(self, request: ModelRequest) -> int | None:
        return await self.count_prompt(request)

    async def health(self) -> None:
        await self._exchange.check(self._models_url())

    def _models_url(self) -> str:
        return url_below(self.base_url, "/models")


class AzureProvider(OpenAIProvider):
    """Azure OpenAI, at `…/openai/v1` or at a deployment's URL with its `?api-version=`.

    Protocol: https://learn.microsoft.com/azure/ai-services/openai/reference
    """

    name = "azure"

    def _headers(self, api_key: str) -> dict[str, str]:
        return {"api-key": api_key} if api_key else {}

    def _models_url(self) -> str:
        """The list is the resource's: a deployment has none."""
        url, separator, query = self.base_url.partition("?")
        return url_below(url.partition("/deployments/")[0] + separator + query, "/models")


class CompatibleProvider(OpenAIProvider):
    """Any other OpenAI-compatible API: all of them know the older name of the output bound."""

    name = "compatible"
    output_bound = "max_tokens"
    takes_late_system = False  # many models' templates refuse them

    def messages(self, messages: list[JsonObject]) -> list[JsonObject]:
        """Unchanged: a server that sent reasoning or signatures wants them back."""
        return messages

    def tools(self, tools: list[JsonObject]) -> list[JsonObject]:
        return tools


def _plain_message(message: JsonObject) -> JsonObject:
    plain = {name: value for name, value in message.items() if name not in NOT_OPENAIS}
    if isinstance(content := plain.get("content"), list):
        plain["content"] = [_without(part, "cache_control") for part in content]
    if isinstance(calls := plain.get("tool_calls"), list):
        plain["tool_calls"] = [_without(call, "extra_content") for call in calls]
    return plain


def _without(value: Any, name: str) -> Any:
    return {key: inner for key, inner in value.items() if key != name} if isinstance(value, dict) else value
