"""Time limits and broken connections become our errors, which say whether work was done."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import ModelEvent, ModelRequest, TextDelta, Unread
from gateway.providers.exchange import url_below
from gateway.providers.openai import CompatibleProvider
from gateway.providers.sizes import longest_line
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.providers.tests.scripted_openai import chunk, refused, reply

HI = chunk({"content": "Hi"})


async def test_a_provider_that_does_not_begin_in_time_is_a_timeout(
    upstream: ScriptedServer, events_of: Any, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.8
    for answer in (Answer([HI], delay=30), Answer([30.0, HI])):
        upstream.answers = [answer]
        with pytest.raises(ProviderTimeout) as failure:
            await events_of(CompatibleProvider(upstream.url))
        assert not failure.value.did_no_work
        await upstream.client_left()


async def test_a_reply_that_stalls_is_a_timeout(
    upstream: ScriptedServer, events_of: Any, settings: Any
) -> None:
    settings.PROVIDER_IDLE_SECONDS = 0.1
    upstream.answers = [Answer([HI, 30.0, HI])]
    with pytest.raises(ProviderTimeout):
        await events_of(CompatibleProvider(upstream.url))
    await upstream.client_left()


async def test_pings_keep_a_reply_alive(upstream: ScriptedServer, events_of: Any, settings: Any) -> None:
    settings.PROVIDER_IDLE_SECONDS = 1
    upstream.answers = [Answer([*[0.05, b": ping\n\n"] * 24, *reply("Hi").body])]
    assert (await events_of(CompatibleProvider(upstream.url)))[0] == TextDelta("Hi")


async def test_an_endless_reply_is_a_timeout(upstream: ScriptedServer, events_of: Any, settings: Any) -> None:
    settings.PROVIDER_CALL_SECONDS = 0.2
    upstream.answers = [Answer([HI, 0.02] * 100)]
    with pytest.raises(ProviderTimeout):
        await events_of(CompatibleProvider(upstream.url))


async def test_a_refusal_that_stalls_is_still_a_refusal(
    upstream: ScriptedServer, events_of: Any, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.8
    upstream.answers = [Answer([b"{", 30.0], status=401)]
    with pytest.raises(ProviderError) as failure:
        await events_of(CompatibleProvider(upstream.url))
    assert failure.value.details["provider_status"] == 401


async def test_a_connection_that_breaks_may_have_cost_something(
    upstream: ScriptedServer, events_of: Any
) -> None:
    for answer in (Answer([HI], breaks_off=True), Answer(hangs_up=True)):
        upstream.answers = [answer]
        with pytest.raises(ProviderError) as failure:
            await events_of(CompatibleProvider(upstream.url))
        assert type(failure.value) is ProviderError
        assert (failure.value.did_no_work, failure.value.transient) == (False, False)


async def test_an_unreachable_server_did_no_work(events_of: Any, settings: Any) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError, match="cannot be reached") as failure:
            await events_of(CompatibleProvider(f"http://127.0.0.1:{port}/v1"))
    assert (failure.value.did_no_work, failure.value.transient) == (True, True)


async def test_a_response_that_is_not_http_is_a_provider_error(events_of: Any, settings: Any) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError) as failure:
            await events_of(CompatibleProvider(f"http://127.0.0.1:{port}/v1"))
    assert not failure.value.did_no_work


async def test_an_endless_response_is_not_stored(
    upstream: ScriptedServer, events_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.providers.exchange.LARGEST_RESPONSE", 1000)
    upstream.answers = [Answer([b": ping\n\n" * 50] * 10)]
    with pytest.raises(ProviderError):
        await events_of(CompatibleProvider(upstream.url))


@pytest.mark.parametrize("piece", [b"x" * 60_000, b"x" * 60_000 + b"\ndata: "], ids=["line", "frame"])
async def test_an_endless_line_is_invalid_and_is_counted(upstream: ScriptedServer, piece: bytes) -> None:
    upstream.answers = [Answer([b"data: ", *[piece] * 50])]
    events: list[ModelEvent] = []
    request = ModelRequest(model="m", messages=[], max_tokens=20)

    async def read() -> None:
        async for event in CompatibleProvider(upstream.url).stream(request):
            events.append(event)

    with pytest.raises(ProviderError, match="invalid response"):
        await read()
    assert [type(event) for event in events] == [Unread]
    assert longest_line(20) < events[0].size < longest_line(20) + 500_000  # type: ignore[union-attr]


async def test_a_response_of_only_comments_ends_at_its_byte_limit(
    upstream: ScriptedServer, events_of: Any
) -> None:
    upstream.answers = [Answer([*[b": ping\n" * 20_000] * 10, b"data: [DONE]\n\n"])]
    with pytest.raises(ProviderError, match="failed"):
        await events_of(CompatibleProvider(upstream.url))


async def test_a_redirect_is_not_followed(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [refused(307, Location=f"{upstream.url}/elsewhere"), reply("secret")]
    with pytest.raises(ProviderError) as failure:
        await events_of(CompatibleProvider(upstream.url, api_key="sk-1"))
    assert failure.value.details["provider_status"] == 307
    assert len(upstream.requests) == 1


async def test_a_reader_that_leaves_closes_the_connection(upstream: ScriptedServer) -> None:
    upstream.answers = [Answer([HI, 5.0])]
    request = ModelRequest(model="m", messages=[], max_tokens=1)
    events = CompatibleProvider(upstream.url).stream(request)
    await anext(events)
    await events.aclose()
    await upstream.client_left()


async def test_half_a_surrogate_pair_does_not_fail_a_request(
    upstream: ScriptedServer, events_of: Any
) -> None:
    upstream.answers = [reply("Hi")]
    await events_of(CompatibleProvider(upstream.url), messages=[{"role": "user", "content": "a\ud800é"}])
    assert upstream.requests[0].body["messages"][0]["content"] == "a?é"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://a/v1", "https://a/v1/x"),
        ("https://a/v1/", "https://a/v1/x"),
        ("https://a/v1?k=%20&l=2", "https://a/v1/x?k=%20&l=2"),
        ("https://a", "https://a/x"),
    ],
)
def test_a_path_is_inserted_before_the_query_of_the_base_url(base: str, url: str) -> None:
    assert url_below(base, "/x") == url
