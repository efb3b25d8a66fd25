"""Time limits and broken connections: each becomes one of our errors, and says whether work was done."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import ModelEvent, ModelRequest, Unread
from gateway.providers.exchange import url_below
from gateway.providers.openai import CompatibleProvider
from gateway.providers.sizes import longest_line
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.providers.tests.scripted_openai import chunk, refused, reply

HI = chunk({"content": "Hi"})


async def test_a_provider_that_does_not_begin_in_time_is_given_up(
    upstream: ScriptedServer, asked: Any, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.4
    for answer in (Answer([HI], delay=5), Answer([5.0, HI])):
        upstream.answers = [answer]
        with pytest.raises(ProviderTimeout) as failure:
            await asked(CompatibleProvider(upstream.url))
        assert not failure.value.did_no_work
        await upstream.somebody_left()


async def test_a_reply_that_stops_coming_is_given_up(
    upstream: ScriptedServer, asked: Any, settings: Any
) -> None:
    settings.PROVIDER_IDLE_SECONDS = 0.1
    upstream.answers = [Answer([HI, 5.0, HI])]
    with pytest.raises(ProviderTimeout):
        await asked(CompatibleProvider(upstream.url))
    await upstream.somebody_left()


async def test_pings_keep_a_reply_alive(upstream: ScriptedServer, asked: Any, settings: Any) -> None:
    settings.PROVIDER_IDLE_SECONDS = 0.2
    upstream.answers = [Answer([*[0.06, b": ping\n\n"] * 6, *reply("Hi").body])]
    assert len(await asked(CompatibleProvider(upstream.url))) == 3


async def test_a_reply_without_end_is_given_up(upstream: ScriptedServer, asked: Any, settings: Any) -> None:
    settings.PROVIDER_CALL_SECONDS = 0.2
    upstream.answers = [Answer([HI, 0.02] * 100)]
    with pytest.raises(ProviderTimeout):
        await asked(CompatibleProvider(upstream.url))


async def test_a_refusal_that_stops_coming_is_still_a_refusal(
    upstream: ScriptedServer, asked: Any, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_SECONDS = 0.2
    upstream.answers = [Answer([b"{", 5.0], status=401)]
    with pytest.raises(ProviderError) as failure:
        await asked(CompatibleProvider(upstream.url))
    assert failure.value.details["provider_status"] == 401


async def test_a_connection_that_breaks_may_have_cost_something(upstream: ScriptedServer, asked: Any) -> None:
    for answer in (Answer([HI], breaks_off=True), Answer(hangs_up=True)):
        upstream.answers = [answer]
        with pytest.raises(ProviderError) as failure:
            await asked(CompatibleProvider(upstream.url))
        assert type(failure.value) is ProviderError
        assert (failure.value.did_no_work, failure.value.transient) == (False, False)


async def test_a_server_that_is_not_there_did_no_work(asked: Any, settings: Any) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError, match="cannot be reached") as failure:
            await asked(CompatibleProvider(f"http://127.0.0.1:{port}/v1"))
    assert (failure.value.did_no_work, failure.value.transient) == (True, True)


async def test_an_answer_that_is_no_http_is_translated(asked: Any, settings: Any) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
        with pytest.raises(ProviderError) as failure:
            await asked(CompatibleProvider(f"http://127.0.0.1:{port}/v1"))
    assert not failure.value.did_no_work


async def test_an_answer_without_end_is_not_kept(
    upstream: ScriptedServer, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.providers.exchange.LARGEST_ANSWER", 1000)
    upstream.answers = [Answer([b": ping\n\n" * 50] * 10)]
    with pytest.raises(ProviderError):
        await asked(CompatibleProvider(upstream.url))


@pytest.mark.parametrize("piece", [b"x" * 60_000, b"x" * 60_000 + b"\ndata: "], ids=["line", "frame"])
async def test_an_endless_line_is_nonsense_and_is_counted(upstream: ScriptedServer, piece: bytes) -> None:
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


async def test_an_answer_of_nothing_but_comments_ends_at_its_bytes(
    upstream: ScriptedServer, asked: Any
) -> None:
    upstream.answers = [Answer([*[b": ping\n" * 20_000] * 10, b"data: [DONE]\n\n"])]
    with pytest.raises(ProviderError, match="failed"):
        await asked(CompatibleProvider(upstream.url))


async def test_a_redirect_is_not_followed(upstream: ScriptedServer, asked: Any) -> None:
    upstream.answers = [refused(307, Location=f"{upstream.url}/elsewhere"), reply("secret")]
    with pytest.raises(ProviderError) as failure:
        await asked(CompatibleProvider(upstream.url, api_key="sk-1"))
    assert failure.value.details["provider_status"] == 307
    assert len(upstream.requests) == 1


async def test_a_reader_that_leaves_takes_the_connection_along(upstream: ScriptedServer) -> None:
    upstream.answers = [Answer([HI, 5.0])]
    request = ModelRequest(model="m", messages=[], max_tokens=1)
    events = CompatibleProvider(upstream.url).stream(request)
    await anext(events)
    await events.aclose()
    await upstream.somebody_left()


async def test_half_of_a_surrogate_pair_does_not_stop_a_request(upstream: ScriptedServer, asked: Any) -> None:
    upstream.answers = [reply("Hi")]
    await asked(CompatibleProvider(upstream.url), messages=[{"role": "user", "content": "a\ud800é"}])
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
def test_a_path_goes_before_the_bases_query(base: str, url: str) -> None:
    assert url_below(base, "/x") == url
