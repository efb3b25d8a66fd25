"""Anthropic's Messages API, streamed.

Protocol: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/errors
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.providers.anthropic_events import AnthropicReader
from gateway.providers.anthropic_request import messages_body
from gateway.providers.base import ModelEvent, ModelRequest
from gateway.providers.exchange import ClientFactory, Exchange, url_below
from gateway.providers.streams import read_events
from kit import outbound

VERSION = "2023-06-01"


class AnthropicProvider:
    """Calls `<base_url>/messages`, where the base ends in `/v1`."""

    name = "anthropic"

    def __init__(self, base_url: str, *, api_key: str = "", client: ClientFactory = outbound.client) -> None:
        self.base_url = base_url
        headers = {"anthropic-version": VERSION, **({"x-api-key": api_key} if api_key else {})}
        self._exchange = Exchange(self.name, client, headers)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        body = messages_body(request, provider=self.name)
        chunks = self._exchange.post(url_below(self.base_url, "/messages"), body)
        async with aclosing(read_events(chunks, AnthropicReader(self.name))) as events:
            async for event in events:
                yield event

    async def count_prompt(self, request: ModelRequest) -> int | None:
        return None

    async def count_text(self, text: str) -> int | None:
        return None

    async def health(self) -> None:
        await self._exchange.check(url_below(self.base_url, "/models"))
