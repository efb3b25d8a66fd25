"""A call is tried again only where that may help and costs nothing; nobody really waits here."""

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


class Patience:
    """Wraps providers so that their waits are noted and not waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.breaker = CircuitBreaker()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def around(self, provider: Provider) -> ResilientProvider:
        return ResilientProvider(provider, self.breaker, sleep=self.sleep, jitter=lambda: 0.5)


@pytest.fixture
def patience() -> Patience:
    return Patience()


def notice(attempt: int, seconds: float, status: int | None) -> Notice:
    return Notice("retry", {"attempt": attempt, "wait_seconds": seconds, "provider_status": status})


async def test_a_busy_provider_is_asked_again(
    upstream: ScriptedServer, asked: Any, patience: Patience
) -> None:
    upstream.answers = [refused(429), refused(503), reply("Hi")]
    events = await asked(patience.around(OpenAIProvider(upstream.url)))
    assert events[:3] == [notice(2, 0.25, 429), notice(3, 0.5, 503), TextDelta("Hi")]
    assert events[-1] == Finish("stop")
    assert patience.waits == [0.25, 0.5]


async def test_three_attempts_are_enough(upstream: ScriptedServer, asked: Any, patience: Patience) -> None:
    upstream.answers = [refused(500)]
    with pytest.raises(ProviderError) as failure:
        await asked(patience.around(OpenAIProvider(upstream.url)))
    assert failure.value.details["provider_status"] == 500
    assert len(upstream.requests) == 3


async def test_the_wait_that_is_asked_for_is_waited(
    upstream: ScriptedServer, asked: Any, patience: Patience
) -> None:
    upstream.answers = [refused(429, Retry_After="7"), reply("Hi")]
    events = await asked(patience.around(OpenAIProvider(upstream.url)))
    assert events[0] == notice(2, 7.25, 429)
    assert patience.waits == [7.25]


async def test_a_provider_that_wants_to_be_left_alone_for_long_is_given_up(
    upstream: ScriptedServer, asked: Any, patience: Patience
) -> None:
    upstream.answers = [refused(429, Retry_After="21")]
    with pytest.raises(ProviderError) as failure:
        await asked(patience.around(OpenAIProvider(upstream.url)))
    assert failure.value.retry_after == 21
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 504])
async def test_what_would_fail_again_or_may_have_worked_is_asked_once(
    upstream: ScriptedServer, asked: Any, patience: Patience, status: int
) -> None:
    upstream.answers = [refused(status)]
    with pytest.raises(ProviderError):
        await asked(patience.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_a_server_that_is_not_there_is_tried_again(
    asked: Any, patience: Patience, settings: Any
) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError, match="cannot be reached"):
            await asked(patience.around(OpenAIProvider(f"http://127.0.0.1:{port}/v1")))
    assert len(patience.waits) == 2


async def test_an_overloaded_claude_is_asked_again(
    upstream: ScriptedServer, asked: Any, patience: Patience
) -> None:
    before_anything = Answer([scripted_anthropic.error("overloaded_error")])
    overloaded = scripted_anthropic.refused(529, "overloaded_error")
    upstream.answers = [overloaded, before_anything, scripted_anthropic.reply("Hi")]
    events = await asked(patience.around(AnthropicProvider(upstream.url)))
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
async def test_a_reply_that_may_have_begun_is_not_asked_for_again(
    upstream: ScriptedServer, asked: Any, patience: Patience, answer: Answer
) -> None:
    upstream.answers = [answer]
    with pytest.raises(ProviderError):
        await asked(patience.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_a_late_answer_is_not_asked_for_again(
    upstream: ScriptedServer, asked: Any, patience: Patience, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.5
    upstream.answers = [Answer(delay=5)]
    with pytest.raises(ProviderTimeout):
        await asked(patience.around(OpenAIProvider(upstream.url)))
    assert len(upstream.requests) == 1


async def test_a_provider_that_keeps_failing_is_left_alone(
    upstream: ScriptedServer, asked: Any, patience: Patience
) -> None:
    upstream.answers = [refused(500)]
    provider = patience.around(OpenAIProvider(upstream.url))
    for _ in range(2):
        with pytest.raises(ProviderError):
            await asked(provider)
    assert len(upstream.requests) == 5  # three, then two: the fifth opens the breaker
    with pytest.raises(ProviderError, match="Try again in 30 s"):
        await asked(provider)
    assert len(upstream.requests) == 5


async def test_a_reader_that_leaves_counts_for_nothing(upstream: ScriptedServer, patience: Patience) -> None:
    upstream.answers = [reply("Hi", "there")]
    provider = patience.around(OpenAIProvider(upstream.url))
    for _ in range(6):
        events = provider.stream(ModelRequest(model="m", messages=[], max_tokens=1))
        await anext(events)
        await events.aclose()
    assert not patience.breaker.is_open
