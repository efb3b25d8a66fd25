"""Retries a provider if that may help and costs nothing."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, runtime_checkable

from django.conf import settings

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject, ModelEvent, ModelRequest, Notice, Provider
from gateway.providers.breaker import CircuitBreaker

ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.5  # doubled with each attempt


@runtime_checkable
class AnswersWhole(Protocol):
    """A provider with other requests than chats, such as embeddings."""

    async def ask(self, path: str, body: JsonObject, *, most_bytes: int) -> bytes: ...


class ResilientProvider:
    """A provider whose `stream` is repeated as long as there was no event and no billable work.

    Waits grow exponentially with full jitter (https://aws.amazon.com/builders-library/timeouts-retries-and-
    backoff-with-jitter/), in addition to the provider's Retry-After; each yields a Notice `retry`.
    """

    def __init__(
        self,
        provider: Provider,
        breaker: CircuitBreaker,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = provider.name
        self.has_tokenizer = provider.has_tokenizer
        self.provider = provider
        self._breaker = breaker
        self._sleep = sleep
        self._jitter = jitter

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """ProviderError of the last attempt, or immediately while the breaker is open."""
        attempt, failure = 1, None
        while True:
            begun = False
            try:
                with self._breaker.attempt(self.name) as answered:
                    async with aclosing(self.provider.stream(request)) as events:
                        async for event in events:
                            if not begun:
                                begun = True
                                answered()
                            yield event
                return
            except ProviderError as exc:
                if begun or attempt == ATTEMPTS or not self._may_repeat(exc):
                    raise
                failure = exc
            attempt += 1
            seconds = self._wait_before(attempt, failure)
            yield _notice(attempt, seconds, failure)
            await self._sleep(seconds)

    async def ask(self, path: str, body: JsonObject, *, most_bytes: int) -> bytes:
        """The whole answer to a request other than a chat, repeated under the same conditions.

        Also a ProviderError if the provider has only chats.
        """
        if not isinstance(self.provider, AnswersWhole):
            text = f"This provider has no {path.strip('/')}."
            raise ProviderError(text, provider=self.name, provider_status=404, did_no_work=True)
        attempt = 1
        while True:
            try:
                with self._breaker.attempt(self.name):
                    return await self.provider.ask(path, body, most_bytes=most_bytes)
            except ProviderError as exc:
                if attempt == ATTEMPTS or not self._may_repeat(exc):
                    raise
                failure = exc
            attempt += 1
            await self._sleep(self._wait_before(attempt, failure))

    def _may_repeat(self, error: ProviderError) -> bool:
        """Not if the provider asks for a longer wait than a person accepts, or if it is down."""
        is_short = (error.retry_after or 0) <= settings.PROVIDER_LONGEST_WAIT_SECONDS
        return error.transient and error.did_no_work and is_short and not self._breaker.is_open

    def _wait_before(self, attempt: int, failure: ProviderError) -> float:
        longest = FIRST_WAIT_SECONDS * 2.0 ** (attempt - 2)
        return (failure.retry_after or 0) + longest * self._jitter()

    def body(self, request: ModelRequest) -> JsonObject:
        return self.provider.body(request)

    def hidden_prompt(self, request: ModelRequest) -> int:
        return self.provider.hidden_prompt(request)

    async def count_prompt(self, request: ModelRequest) -> int | None:
        return await self.provider.count_prompt(request)

    async def count_text(self, text: str) -> int | None:
        return await self.provider.count_text(text)

    async def count_request(self, request: ModelRequest) -> int | None:
        return await self.provider.count_request(request)

    async def health(self) -> None:
        await self.provider.health()


def _notice(attempt: int, seconds: float, failure: ProviderError) -> Notice:
    data = {"attempt": attempt, "wait_seconds": round(seconds, 3)}
    return Notice("retry", {**data, "provider_status": failure.details["provider_status"]})
