"""The Anthropic provider, against a server that speaks its protocol over a real socket."""

from typing import Any

import pytest

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Finish, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.tests.scripted_anthropic import (
    end,
    error,
    refused,
    reply,
    start,
    text_block,
    tool_block,
)
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from kit.errors import InvalidInput


async def test_the_request_has_anthropics_format(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [reply("Hel", "lo")]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    events = await events_of(AnthropicProvider(upstream.url, api_key="sk-1"), messages=messages)
    assert events == [
        UsageReport(25, 1),
        TextDelta("Hel"),
        TextDelta("lo"),
        UsageReport(25, 15),
        Finish("stop"),
    ]
    (request,) = upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == "sk-1"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.body == {
        "model": "m",
        "max_tokens": 20,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
    }


async def test_parallel_tool_calls_keep_their_indexes(upstream: ScriptedServer, events_of: Any) -> None:
    blocks = [
        text_block(0, "Two."),
        tool_block(1, "a", "add", '{"x":', "1}"),
        tool_block(2, "b", "add", "{}"),
    ]
    upstream.answers = [Answer([start(), *blocks, end("tool_use")])]
    events = await events_of(AnthropicProvider(upstream.url))
    pieces = [call for event in events if isinstance(event, ToolCallDelta) for call in event.calls]
    assert [(piece["index"], piece["function"]["arguments"]) for piece in pieces] == [
        (0, ""),
        (0, '{"x":'),
        (0, "1}"),
        (1, ""),
        (1, "{}"),
    ]
    assert events[-1] == Finish("tool_calls")


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (413, "request_too_large", False),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (529, "overloaded_error", True),
    ],
)
async def test_a_refusal_has_its_status_and_its_words_without_keys(
    upstream: ScriptedServer, events_of: Any, status: int, kind: str, transient: bool
) -> None:
    upstream.answers = [refused(status, kind, Retry_After="3")]
    with pytest.raises(ProviderError) as refusal:
        await events_of(AnthropicProvider(upstream.url, api_key="sk-secret"))
    assert refusal.value.details == {
        "provider": "anthropic",
        "provider_status": status,
        "provider_message": "invalid x-api-key [removed]",
        "provider_code": kind,
        "retry_after": 3.0,
    }
    assert (refusal.value.did_no_work, refusal.value.transient) == (True, transient)
    assert refusal.value.retry_after == 3
    assert "sk-secret" not in str(refusal.value.as_dict())


@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000",
    ],
)
async def test_a_prompt_beyond_the_window_is_context_too_long(
    upstream: ScriptedServer, events_of: Any, words: str
) -> None:
    upstream.answers = [refused(400, "invalid_request_error", words)]
    with pytest.raises(ContextTooLong):
        await events_of(AnthropicProvider(upstream.url))


async def test_an_error_during_the_stream_ends_the_reply(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [Answer([start(), text_block(0, "Hi"), error("overloaded_error")])]
    with pytest.raises(ProviderError) as failure:
        await events_of(AnthropicProvider(upstream.url))
    assert failure.value.details["provider_status"] == 529
    assert not failure.value.did_no_work


async def test_a_reply_that_ends_too_early_broke_off(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [Answer([start(), text_block(0, "Hi")])]
    with pytest.raises(ProviderError, match="stopped in the middle"):
        await events_of(AnthropicProvider(upstream.url))


async def test_content_that_cannot_be_translated_is_not_sent(
    upstream: ScriptedServer, events_of: Any
) -> None:
    audio = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]
    with pytest.raises(InvalidInput, match="audio"):
        await events_of(AnthropicProvider(upstream.url), messages=audio)
    assert upstream.requests == []


async def test_health_requests_the_list_of_models(upstream: ScriptedServer) -> None:
    upstream.answers = [Answer([b"{}"])]
    await AnthropicProvider(upstream.url, api_key="sk-1").health()
    (request,) = upstream.requests
    assert (request.method, request.path, request.headers["x-api-key"]) == ("GET", "/v1/models", "sk-1")
