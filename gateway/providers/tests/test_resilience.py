"""A call is retried only if that may help and costs nothing; waits are recorded, not waited."""

import socket
from typing import Any

import pytest

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Finish, ModelRequest, Notice, Provider, TextDelta
from gateway.providers.breaker import CircuitBreaker
from gateway.providers.openai import OpenAIProvider
from gateway.providers.resilience import ResilientProvider
from gateway.providers.tests import scripted_anthropic
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.providers.tests.scripted_openai import DONE, chunk, refused, reply


class FakeWaits:
    """Wraps providers so that their waits are recorded and not waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.breaker = CircuitBreaker()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def around(self, provider: Provider) -> ResilientProvider:
        return ResilientProvider(provider, self.breaker, sleep=self.sleep, jitter=lambda: 0.5)


@pytest.fixture
def fake_waits() -> FakeWaits:
    return FakeWaits()


def notice(attempt: int, seconds: float, status: int | None) -> Notice:
    return Notice("retry", {"attempt": attempt, "wait_seconds": seconds, "provider_status": status})


async def test_a_busy_provider_is_retried(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    upstream.answers = [refused(429), refused(503), reply("Hi")]
    events = await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert events[:3] == [notice(2, 0.25, 429), notice(3, 0.5, 503), TextDelta("Hi")]
    assert events[-1] == Finish("stop")
    assert fake_waits.waits == [0.25, 0.5]


async def test_there_are_at_most_three_attempts(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    upstream.answers = [refused(500)]
    with pytest.raises(ProviderError) as failure:
        await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert failure.value.details["provider_status"] == 500
    assert len(upstream.requests) == 3


async def test_retry_after_is_waited_for(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    upstream.answers = [refused(429, Retry_After="7"), reply("Hi")]
    events = await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert events[0] == notice(2, 7.25, 429)
    assert fake_waits.waits == [7.25]


async def test_a_long_retry_after_is_not_waited_for(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    upstream.answers = [refused(429, Retry_After="21")]
    with pytest.raises(ProviderError) as failure:
        await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert failure.value.retry_after == 21
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 504])
async def test_permanent_errors_and_gateway_timeouts_are_not_retried(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits, status: int
) -> None:
    upstream.answers = [refused(status)]
    with pytest.raises(ProviderError):
        await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_an_unreachable_server_is_retried(events_of: Any, fake_waits: FakeWaits, settings: Any) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError, match="cannot be reached"):
            await events_of(fake_waits.around(OpenAIProvider(f"http://127.0.0.1:{port}/v1")))
    assert len(fake_waits.waits) == 2


async def test_an_overloaded_claude_is_retried(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    before_anything = Answer([scripted_anthropic.error("overloaded_error")])
    overloaded = scripted_anthropic.refused(529, "overloaded_error")
    upstream.answers = [overloaded, before_anything, scripted_anthropic.reply("Hi")]
    events = await events_of(fake_waits.around(AnthropicProvider(upstream.url)))
    assert events[:2] == [notice(2, 0.25, 529), notice(3, 0.5, 529)]
    assert events[-1] == Finish("stop")


@pytest.mark.parametrize(
    "answer",
    [
        Answer([chunk({"content": "Hi"}), b'data: {"error": {"code": 503}}\n\n', DONE]),
        Answer([chunk({"content": "Hi"})], breaks_off=True),
        Answer([b": ping\n\n"], breaks_off=True),
        Answer(hangs_up=True),
    ],
)
async def test_a_reply_that_may_have_begun_is_not_retried(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits, answer: Answer
) -> None:
    upstream.answers = [answer]
    with pytest.raises(ProviderError):
        await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_a_timeout_is_not_retried(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.8
    upstream.answers = [Answer(delay=30)]
    with pytest.raises(ProviderTimeout):
        await events_of(fake_waits.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_the_breaker_stops_retries_of_a_failing_provider(
    upstream: ScriptedServer, events_of: Any, fake_waits: FakeWaits
) -> None:
    upstream.answers = [refused(500)]
    provider = fake_waits.around(OpenAIProvider(upstream.url))
    for _ in range(2):
        with pytest.raises(ProviderError):
            await events_of(provider)
    assert len(upstream.requests) == 5  # three, then two: the fifth opens the breaker
    with pytest.raises(ProviderError, match="Try again in 30 s"):
        await events_of(provider)
    assert len(upstream.requests) == 5


async def test_a_reader_that_leaves_is_not_a_failure(upstream: ScriptedServer, fake_waits: FakeWaits) -> None:
    upstream.answers = [reply("Hi", "there")]
    provider = fake_waits.around(OpenAIProvider(upstream.url))
    for _ in range(6):
        events = provider.stream(ModelRequest(model="m", messages=[], max_tokens=1))
        await anext(events)
        await events.aclose()
    assert not fake_waits.breaker.is_open
