"""The OpenAI-compatible providers, against a server that speaks the protocol over a real socket."""

import gzip
import json
import zlib
from typing import Any

import pytest

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.base import Finish, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.local import LocalProvider
from gateway.providers.openai import AzureProvider, CompatibleProvider, OpenAIProvider
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.providers.tests.scripted_openai import DONE, chunk, refused, reply, usage
from kit.tests.cpu_time import cpu_at_most

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


async def test_the_request_has_openais_format(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [reply("Hel", "lo")]
    extra = {"top_p": 0.5, "tool_choice": "auto", "max_tokens": 9999, "n": 5}
    events = await events_of(
        OpenAIProvider(upstream.url, api_key="sk-1"), temperature=1.5, tools=[TOOL], extra=extra
    )
    assert events == [TextDelta("Hel"), TextDelta("lo"), UsageReport(3, 2), UsageReport(3, 2), Finish("stop")]
    (request,) = upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "model": "m",
        "messages": HI,
        "max_completion_tokens": 20,
        "temperature": 1.5,
        "tools": [TOOL],
        "top_p": 0.5,
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("base", "path", "models"),
    [
        ("/openai/v1/", "/openai/v1/chat/completions", "/openai/v1/models"),
        (
            "/openai/deployments/gpt?api-version=2024-10-21",
            "/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
            "/openai/models?api-version=2024-10-21",
        ),
    ],
)
async def test_azure_is_reached_by_either_kind_of_url(
    upstream: ScriptedServer, events_of: Any, base: str, path: str, models: str
) -> None:
    upstream.answers = [reply("x")]
    provider = AzureProvider(f"http://127.0.0.1:{upstream.port}{base}", api_key="k")
    await events_of(provider)
    await provider.health()
    completion, check = upstream.requests
    assert (completion.path, check.path) == (path, models)
    assert completion.headers["api-key"] == check.headers["api-key"] == "k"
    assert "authorization" not in completion.headers
    assert completion.body["max_completion_tokens"] == 20


async def test_a_compatible_server_needs_no_key(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [reply("x")]
    await events_of(CompatibleProvider(upstream.url))
    (request,) = upstream.requests
    assert "authorization" not in request.headers
    assert request.body["max_tokens"] == 20
    assert "max_completion_tokens" not in request.body


async def test_the_built_in_model_is_exempt_from_the_guard(
    upstream: ScriptedServer, events_of: Any, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = []
    settings.LOCAL_MODEL_URL = f"http://127.0.0.1:{upstream.port}"
    upstream.answers = [reply("x")]
    events = await events_of(LocalProvider())
    assert events[-1] == Finish("stop")
    (request,) = upstream.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["repeat_penalty"] == 1.05


async def test_an_address_that_is_not_allowed_is_never_requested(
    upstream: ScriptedServer, events_of: Any, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = []
    with pytest.raises(ProviderError, match="are not allowed") as refusal:
        await events_of(OpenAIProvider(upstream.url, api_key="sk-1"))
    assert refusal.value.did_no_work
    assert not refusal.value.transient
    assert upstream.requests == []


async def test_an_invalid_base_url_is_a_provider_error(upstream: ScriptedServer, events_of: Any) -> None:
    for address in ("ftp://127.0.0.1/v1", "http://[nonsense/v1", "http://", "nonsense"):
        with pytest.raises(ProviderError) as refusal:
            await events_of(CompatibleProvider(address))
        assert refusal.value.did_no_work


@pytest.mark.parametrize(
    ("status", "transient", "did_no_work"),
    [
        (302, False, True),
        (400, False, True),
        (401, False, True),
        (403, False, True),
        (404, False, True),
        (408, False, False),
        (429, True, True),
        (500, True, True),
        (503, True, True),
        (504, True, False),
    ],
)
async def test_a_refusal_has_its_status_and_its_words_without_keys(
    upstream: ScriptedServer, events_of: Any, status: int, transient: bool, did_no_work: bool
) -> None:
    upstream.answers = [refused(status, Location=f"{upstream.url}/elsewhere")]
    with pytest.raises(ProviderError) as refusal:
        await events_of(OpenAIProvider(upstream.url, api_key="sk-secret"))
    assert refusal.value.details == {
        "provider": "openai",
        "provider_status": status,
        "provider_message": "Incorrect API key [removed]",
    }
    assert (refusal.value.transient, refusal.value.did_no_work) == (transient, did_no_work)
    assert "sk-secret" not in str(refusal.value.as_dict())
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("asks", "seconds"), [("7", 7.0), ("soon", None)])
async def test_the_providers_retry_after_is_in_the_error(
    upstream: ScriptedServer, events_of: Any, asks: str, seconds: float | None
) -> None:
    upstream.answers = [refused(429, Retry_After=asks)]
    with pytest.raises(ProviderError) as refusal:
        await events_of(OpenAIProvider(upstream.url))
    assert refusal.value.retry_after == seconds
    assert refusal.value.details.get("retry_after") == seconds


async def test_an_unpaid_bill_is_not_transient(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [refused(429, code="insufficient_quota")]
    with pytest.raises(ProviderError) as refusal:
        await events_of(OpenAIProvider(upstream.url))
    assert not refusal.value.transient


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("context_length_exceeded", "too long"),
        ("", "This model's maximum context length is 8192 tokens. However, you requested 9000."),
        ("", "the request exceeds the available context window"),
    ],
)
async def test_a_prompt_beyond_the_window_is_context_too_long(
    upstream: ScriptedServer, events_of: Any, code: str, message: str
) -> None:
    upstream.answers = [refused(400, message, code)]
    with pytest.raises(ContextTooLong):
        await events_of(CompatibleProvider(upstream.url))


async def test_tool_calls_stream_as_pieces(upstream: ScriptedServer, events_of: Any) -> None:
    def call(index: int, arguments: str, **head: str) -> bytes:
        name = {"name": "add"} if head else {}
        piece = {"index": index, **head, "function": {**name, "arguments": arguments}}
        return chunk({"tool_calls": [piece]})

    pieces = [call(0, "", id="a"), call(0, '{"x":'), call(0, "1}"), call(1, "", id="b"), call(1, "{}")]
    upstream.answers = [Answer([*pieces, chunk(finish="tool_calls"), DONE])]
    events = await events_of(OpenAIProvider(upstream.url), tools=[TOOL])
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": ""}}
    second = {"index": 1, "id": "b", "type": "function", "function": {"name": "add", "arguments": ""}}
    assert events == [
        ToolCallDelta([first, {"index": 0, "function": {"arguments": '{"x":'}}]),
        ToolCallDelta([{"index": 0, "function": {"arguments": "1}"}}]),
        ToolCallDelta([second, {"index": 1, "function": {"arguments": "{}"}}]),
        Finish("tool_calls"),
    ]


async def test_reasoning_and_cached_tokens_are_reported(upstream: ScriptedServer, events_of: Any) -> None:
    counts = usage(
        prompt_tokens=100,
        completion_tokens=50,
        prompt_tokens_details={"cached_tokens": 64},
        completion_tokens_details={"reasoning_tokens": 40},
    )
    pieces = [chunk({"reasoning_content": "hm"}), chunk({"content": "Hi"}), chunk(finish="stop"), counts]
    upstream.answers = [Answer([*pieces, DONE])]
    events = await events_of(OpenAIProvider(upstream.url))
    report = UsageReport(100, 50, 64, 40)
    assert events == [ReasoningDelta("hm"), TextDelta("Hi"), report, report, Finish("stop")]


async def test_the_last_of_several_usages_comes_last(upstream: ScriptedServer, events_of: Any) -> None:
    def so_far(written: int) -> dict[str, int]:
        return {"prompt_tokens": 5, "completion_tokens": written}

    pieces = [chunk({"content": "a"}, usage=so_far(1)), chunk({"content": "b"}, "stop", usage=so_far(2))]
    upstream.answers = [Answer([*pieces, DONE])]
    events = await events_of(CompatibleProvider(upstream.url))
    assert [event for event in events if isinstance(event, UsageReport)] == [
        UsageReport(5, 1),
        UsageReport(5, 2),
        UsageReport(5, 2),
    ]


async def test_a_reply_without_usage_has_none(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [Answer([chunk({"content": "Hi"}), chunk(finish="length")])]  # nor a [DONE]
    assert await events_of(CompatibleProvider(upstream.url)) == [TextDelta("Hi"), Finish("length")]


async def test_an_error_during_the_stream_ends_the_reply(upstream: ScriptedServer, events_of: Any) -> None:
    report = b'data: {"error": {"code": 502, "message": "sk-secret"}}\n\n'
    upstream.answers = [Answer([chunk({"content": "Hi"}), report, DONE])]
    with pytest.raises(ProviderError) as failure:
        await events_of(CompatibleProvider(upstream.url))
    assert failure.value.details["provider_status"] == 502
    assert not failure.value.did_no_work
    assert "sk-secret" not in str(failure.value.as_dict())


@pytest.mark.parametrize("nonsense", [b"data: {\n\n", b"data: 7\n\n", b"data: " + b"[" * 200_000 + b"\n\n"])
async def test_invalid_frames_are_a_provider_error(
    upstream: ScriptedServer, events_of: Any, nonsense: bytes
) -> None:
    upstream.answers = [Answer([nonsense])]
    with pytest.raises(ProviderError, match="invalid response"):
        await events_of(OpenAIProvider(upstream.url))


@pytest.mark.parametrize("body", [b"", b"<html>It works!</html>", b'{"choices": []}', b"data: {}\n\n"])
async def test_an_answer_that_never_finishes_broke_off(
    upstream: ScriptedServer, events_of: Any, body: bytes
) -> None:
    upstream.answers = [Answer([body] if body else [])]
    with pytest.raises(ProviderError, match="stopped in the middle"):
        await events_of(OpenAIProvider(upstream.url))


async def test_everything_after_done_is_ignored(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [Answer([*reply("Hi").body, b"garbage", 5.0], breaks_off=True)]
    events = await events_of(OpenAIProvider(upstream.url))
    assert events[-1] == Finish("stop")


@pytest.mark.parametrize(
    "nonsense", [b"data: {\n\n", b"data: 7\n\n", b"data: null\n\n", b"oops\n", b"\xff\n\n"]
)
async def test_one_malformed_frame_discards_nothing(
    upstream: ScriptedServer, events_of: Any, nonsense: bytes
) -> None:
    upstream.answers = [Answer([nonsense, chunk({"content": "Hi"}), nonsense, chunk(finish="stop"), DONE])]
    assert await events_of(OpenAIProvider(upstream.url)) == [TextDelta("Hi"), Finish("stop")]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_reply_is_read(upstream: ScriptedServer, events_of: Any, encoding: str) -> None:
    plain = b"".join(piece for piece in reply("Hi").body if isinstance(piece, bytes))
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    headers = {"Content-Type": "text/event-stream", "Content-Encoding": encoding}
    upstream.answers = [Answer([packed[:5], packed[5:]], headers=headers)]
    assert (await events_of(OpenAIProvider(upstream.url)))[0] == TextDelta("Hi")


async def test_a_compressed_bomb_is_cut_off(upstream: ScriptedServer, events_of: Any) -> None:
    headers = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    upstream.answers = [Answer([gzip.compress(b": ping\n\n" * 20_000_000, compresslevel=1)], headers=headers)]
    with cpu_at_most(2), pytest.raises(ProviderError):
        await events_of(OpenAIProvider(upstream.url))


async def test_a_reply_that_is_not_streamed_is_read(upstream: ScriptedServer, events_of: Any) -> None:
    message = {"role": "assistant", "content": "Hi"}
    counts = {"prompt_tokens": 3, "completion_tokens": 2}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": counts}
    headers = {"Content-Type": "application/json"}
    for status in (200, 201):
        upstream.answers = [Answer([json.dumps(answer, indent=1).encode()], status=status, headers=headers)]
        events = await events_of(OpenAIProvider(upstream.url))
        assert (events[0], *events[-2:]) == (TextDelta("Hi"), UsageReport(3, 2), Finish("stop"))


async def test_fields_of_other_providers_messages_are_not_sent_to_openai(
    upstream: ScriptedServer, events_of: Any
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    extras = {
        "reasoning_content": "hm",
        "reasoning_details": [{"text": "hm"}],
        "annotations": [],
        "images": [],
    }
    signed = {**said, **extras, "tool_calls": [{**call, "extra_content": {"google": {}}}]}
    upstream.answers = [reply("Hi")]
    await events_of(OpenAIProvider(upstream.url), messages=[*HI, signed])
    await events_of(CompatibleProvider(upstream.url), messages=[*HI, signed])
    openais, compatibles = (request.body["messages"][1] for request in upstream.requests)
    assert openais == said
    assert compatibles == signed, "a server that sent reasoning or a signature wants it back"


async def test_health_fails_with_a_wrong_key(upstream: ScriptedServer) -> None:
    upstream.answers = [Answer([b"{}"]), refused(401)]
    provider = OpenAIProvider(upstream.url, api_key="sk-1")
    await provider.health()
    assert (upstream.requests[0].method, upstream.requests[0].path) == ("GET", "/v1/models")
    with pytest.raises(ProviderError) as refusal:
        await provider.health()
    assert refusal.value.details["provider_status"] == 401
