"""Providers' answers with embeddings are read liberally, and wrong ones are never passed on."""

import asyncio
import json
import time
from array import array
from base64 import b64encode
from typing import Any

import pytest

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.breaker import CircuitBreaker
from gateway.providers.embeddings import EmbeddingRequest, Embeddings, as_base64, as_floats, embed
from gateway.providers.json_pieces import LONGEST_PIECE
from gateway.providers.openai import AzureProvider, CompatibleProvider, OpenAIProvider
from gateway.providers.resilience import ResilientProvider
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from kit.tests.cpu_time import cpu_at_most

JSON = {"Content-Type": "application/json"}
A, B = [1.0, 0.5], [-2.0, 0.25]
USAGE = {"prompt_tokens": 4, "total_tokens": 4}


def base64_of(numbers: list[float]) -> str:
    return b64encode(array("f", numbers).tobytes()).decode()


def item(embedding: Any, **more: Any) -> dict[str, Any]:
    return {"object": "embedding", "embedding": embedding, **more}


def answer(data: Any = None, *, status: int = 200, raw: bytes | None = None, **more: Any) -> Answer:
    body = raw if raw is not None else json.dumps({"object": "list", "data": data, **more}).encode()
    return Answer([body], status=status, headers=JSON)


async def ask(
    upstream: ScriptedServer,
    *answers: Answer,
    kind: Any = CompatibleProvider,
    base: str = "",
    inputs: Any = ("one", "two"),
    **more: Any,
) -> Embeddings:
    upstream.answers = list(answers)

    async def no_wait(seconds: float) -> None: ...

    provider = kind(base or upstream.url, api_key="sk-1")
    resilient = ResilientProvider(provider, CircuitBreaker(), sleep=no_wait)
    return await embed(resilient, EmbeddingRequest("m", inputs, **more))


READ: dict[str, tuple[Any, dict[str, Any]]] = {
    "in order": ([item(A, index=0), item(B, index=1)], {"usage": USAGE}),
    "another order": ([item(B, index=1), item(A, index=0)], {"usage": USAGE}),
    "indexes as texts": ([item(B, index="1"), item(A, index="0")], {"usage": USAGE}),
    "indexes from one": ([item(B, index=2.0), item(A, index=1.0)], {"usage": USAGE}),
    "no index": ([item(A), item(B)], {"usage": USAGE}),
    "one index for all": ([item(A, index=0), item(B, index=0)], {"usage": USAGE}),
    "base64 though numbers were asked for": ([item(base64_of(A)), item(base64_of(B))], {"usage": USAGE}),
    "nested": ([item([A]), item([B])], {"usage": USAGE}),
    "unknown items between": ([None, item(A), "?", item(B)], {"usage": USAGE}),
    "only a total": ([item(A), item(B)], {"usage": {"total_tokens": 4}}),
    "counts as floats": ([item(A), item(B)], {"usage": {"prompt_tokens": 4.0}}),
    "a prompt count of zero": ([item(A), item(B)], {"usage": {"prompt_tokens": 0, "total_tokens": 4}}),
}


async def test_every_sound_answer_is_read(upstream: ScriptedServer) -> None:
    for name, (data, more) in READ.items():
        found = await ask(upstream, answer(data, **more))
        assert [as_floats(vector) for vector in found.vectors] == [A, B], name
        assert found.usage is not None, name
        assert (found.usage.input_tokens, found.usage.output_tokens) == (4, 0), name
    for missing in ({}, {"usage": None}, {"usage": {"prompt_tokens": None}}):
        assert (await ask(upstream, answer([item(A), item(B)], **missing))).usage is None
    marked = b"\xef\xbb\xbf " + json.dumps({"data": [item(A), item(B)]}).encode()
    assert len((await ask(upstream, answer(raw=marked))).vectors) == 2


async def test_formats_are_converted_both_ways(upstream: ScriptedServer) -> None:
    numbers = await ask(upstream, answer([item(A), item(B)]), encoding_format="base64")
    assert [as_base64(vector) for vector in numbers.vectors] == [base64_of(A), base64_of(B)]
    # Other encodings of vectors, such as bits, have no floats in them, but are passed on unchanged.
    same = await ask(upstream, answer([item(base64_of(A)), item(base64_of(B))]), encoding_format="base64")
    assert [as_base64(vector) for vector in same.vectors] == [base64_of(A), base64_of(B)]


WRONG: dict[str, Answer] = {
    "too few": answer([item(A)]),
    "too many": answer([item(A), item(B), item(B)]),
    "no list": answer({"embedding": A}),
    "no vector": answer([item(A), item(None)]),
    "an empty vector": answer([item(A), item([])]),
    "texts in it": answer([item(A), item(["1"])]),
    "no numbers": answer(raw=b'{"data": [{"embedding": [NaN]}, {"embedding": [1e999]}]}'),
    "not base64": answer([item(A), item("???")]),
    "half a float": answer([item(A), item(b64encode(b"abc").decode())]),
    "no JSON": answer(raw=b"<html>"),
    "cut off": answer(raw=b'{"data": [{"embedding": [1.0, 2'),
    "a list": answer(raw=b"[[1.0]]"),
    "deeply nested": answer(raw=b'{"data": ' + b"[" * 200_000),
    "one huge item": answer(raw=b'{"data": [{"embedding": [' + b"1," * LONGEST_PIECE + b"1]}]}"),
    "an error inside": answer(None, error={"message": "overloaded"}),
}


async def test_a_wrong_answer_is_the_providers_error_and_is_not_repeated(upstream: ScriptedServer) -> None:
    for name, wrong in WRONG.items():
        upstream.requests.clear()
        with pytest.raises(ProviderError) as failure:
            await ask(upstream, wrong, encoding_format="float")
        assert failure.value.details["provider_status"] == 200, name
        assert not failure.value.did_no_work, name
        assert len(upstream.requests) == 1, name


async def test_an_answer_of_many_small_pieces_costs_little(upstream: ScriptedServer) -> None:
    for raw in (b'{"data": [' + b"1," * 500_000 + b"1]}", b"{" + b'"a":1,' * 150_000 + b'"b":1}'):
        with cpu_at_most(1), pytest.raises(ProviderError):
            await ask(upstream, answer(raw=raw))


async def test_it_is_repeated_like_a_chat_where_that_costs_nothing(upstream: ScriptedServer) -> None:
    busy = answer(status=503, raw=b"{}")
    found = await ask(upstream, busy, busy, answer([item(A), item(B)]))
    assert len(found.vectors) == 2
    assert len(upstream.requests) == 3
    with pytest.raises(ProviderError) as failure:
        await ask(upstream, answer(status=401, raw=b"{}"))
    assert failure.value.details["provider_status"] == 401
    with pytest.raises(ContextTooLong):
        await ask(upstream, answer(status=400, raw=b'{"error": {"code": "context_length_exceeded"}}'))
    with pytest.raises(ProviderError) as failure:
        await ask(upstream, answer(None, error={"code": 429, "message": "slow down"}))
    assert (failure.value.details["provider_status"], failure.value.transient) == (429, True)


async def test_a_compatible_server_that_refuses_the_format_gets_one_request_without_it(
    upstream: ScriptedServer,
) -> None:
    refused, fine = answer(status=422, raw=b"{}"), answer([item(A), item(B)])
    found = await ask(upstream, refused, fine, encoding_format="base64", extra={"dimensions": 2})
    assert [as_base64(vector) for vector in found.vectors] == [base64_of(A), base64_of(B)]
    assert [request.body.get("encoding_format") for request in upstream.requests] == ["base64", None]
    assert [request.body["dimensions"] for request in upstream.requests] == [2, 2]
    upstream.requests.clear()
    with pytest.raises(ProviderError):
        await ask(upstream, refused, kind=OpenAIProvider, encoding_format="base64")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("kind", "base", "path", "header"),
    [
        (OpenAIProvider, "/v1", "/v1/embeddings", ("authorization", "Bearer sk-1")),
        (CompatibleProvider, "/api/paas/v4/", "/api/paas/v4/embeddings", ("authorization", "Bearer sk-1")),
        (
            AzureProvider,
            "/openai/deployments/emb?api-version=2024-10-21",
            "/openai/deployments/emb/embeddings?api-version=2024-10-21",
            ("api-key", "sk-1"),
        ),
    ],
)
async def test_each_provider_is_asked_at_its_own_address(
    upstream: ScriptedServer, kind: Any, base: str, path: str, header: tuple[str, str]
) -> None:
    root = upstream.url.removesuffix("/v1")
    await ask(upstream, answer([item(A)]), kind=kind, base=f"{root}{base}", inputs=[[1, 2]])
    (request,) = upstream.requests
    assert (request.method, request.path) == ("POST", path)
    assert request.headers[header[0]] == header[1]
    assert request.body == {"model": "m", "input": [[1, 2]]}


async def test_anthropic_has_no_embeddings(upstream: ScriptedServer) -> None:
    with pytest.raises(ProviderError, match="no embeddings") as failure:
        await ask(upstream, answer([]), kind=AnthropicProvider)
    assert failure.value.did_no_work
    assert upstream.requests == []


async def test_a_large_answer_leaves_the_event_loop_free(upstream: ScriptedServer) -> None:
    vector = json.dumps([0.123456789012345] * 3072)
    data = ", ".join(f'{{"embedding": {vector}}}' for _ in range(300))
    pauses: list[float] = []  # in processor time, which other programs do not lengthen

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            pauses.append(time.thread_time() - began)

    watching = asyncio.create_task(watch())
    found = await ask(upstream, answer(raw=f'{{"data": [{data}]}}'.encode()), inputs=["x"] * 300)
    watching.cancel()
    assert len(found.vectors) == 300
    assert max(pauses) < 0.15, "parsed in one piece, this takes half a second"
