"""Moderations: results are passed on unchanged, and a wrong answer never counts as harmless."""

import json
from typing import Any

import pytest

from gateway.errors import ProviderError
from gateway.providers.breaker import CircuitBreaker
from gateway.providers.moderations import Moderation, ModerationRequest, moderate
from gateway.providers.openai import CompatibleProvider, OpenAIProvider
from gateway.providers.resilience import ResilientProvider
from gateway.providers.tests.scripted_http import Answer, ScriptedServer

RESULT = {"flagged": True, "categories": {"hate": True}, "unknown": {"field": 1}}


async def ask(upstream: ScriptedServer, body: Any, *, kind: Any = OpenAIProvider) -> Moderation:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    upstream.answers = [Answer([raw], headers={"Content-Type": "application/json"})]
    provider = ResilientProvider(kind(upstream.url), CircuitBreaker())
    return await moderate(provider, ModerationRequest("m", ["a", "b"], expected=2, extra={"x": 1}))


async def test_results_are_passed_on_unchanged(upstream: ScriptedServer) -> None:
    found = await ask(upstream, {"id": "modr-1", "results": [RESULT, RESULT]})
    assert (found.id, found.results) == ("modr-1", [RESULT, RESULT])
    (request,) = upstream.requests
    assert (request.path, request.body) == ("/v1/moderations", {"x": 1, "model": "m", "input": ["a", "b"]})


async def test_openai_counts_requests_and_others_tokens(upstream: ScriptedServer) -> None:
    results = {"results": [RESULT, RESULT]}
    free = (await ask(upstream, results)).usage
    assert free is not None
    assert free.input_tokens == 0
    assert (await ask(upstream, results, kind=CompatibleProvider)).usage is None
    counted = (await ask(upstream, {**results, "usage": {"total_tokens": 7}}, kind=CompatibleProvider)).usage
    assert counted is not None
    assert counted.input_tokens == 7


@pytest.mark.parametrize(
    "body", [{"results": [RESULT]}, {"results": None}, {}, {"error": {"message": "no"}}, b"[]", b"<html>"]
)
async def test_an_answer_without_a_result_for_each_input_is_an_error(
    upstream: ScriptedServer, body: Any
) -> None:
    with pytest.raises(ProviderError) as failure:
        await ask(upstream, body)
    assert failure.value.details["provider_status"] == 200
