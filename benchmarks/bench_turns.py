"""The time of a turn compared with the provider's own stream, alone and with sixteen concurrent ones.

Run by `make bench`. The scripted provider replies instantly, so the figures measure Switchyard's own work:
admission, hold, settlement, storage, streaming.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import httpx

from accounts.tests.cast import Cast
from gateway.tests.events import STREAM, body
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served

ROUNDS, CONCURRENT, CHUNKS = 30, 16, 20
STEPS = [f"word{number} " for number in range(CHUNKS)]

Request = Callable[[httpx.AsyncClient], Awaitable[None]]


async def drain(
    client: httpx.AsyncClient, url: str, payload: dict[str, Any], headers: dict[str, str]
) -> None:
    async with client.stream("POST", url, json=payload, headers=headers) as answer:
        assert answer.status_code == 200
        async for _ in answer.aiter_bytes():
            pass


async def measure(request: Request) -> tuple[float, float]:
    """Seconds per request (median), and requests per second with sixteen concurrent ones."""
    async with httpx.AsyncClient(timeout=60) as client:
        await request(client)
        alone = [await timed(request(client)) for _ in range(ROUNDS)]
        spent = await timed(asyncio.gather(*(repeat(request, client, 4) for _ in range(CONCURRENT))))
    return median(alone), CONCURRENT * 4 / spent


async def repeat(request: Request, client: httpx.AsyncClient, times: int) -> None:
    for _ in range(times):
        await request(client)


async def timed(work: Awaitable[Any]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def test_turns(server: Served, cast: Cast, provider: ScriptedProvider, settings: Any, capsys: Any) -> None:
    provider.script = Script(steps=list(STEPS))
    completion = {"model": "local", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = cast.alice.headers
    rows = {
        "the provider alone": lambda client: drain(
            client, f"{settings.LOCAL_MODEL_URL}/v1/chat/completions", completion, {}
        ),
        "a turn (chat/send)": lambda client: drain(
            client, f"{server.url}/v1/chat/send", body("hi"), {**headers, **STREAM}
        ),
        "a completion (OpenAI)": lambda client: drain(
            client, f"{server.url}/v1/chat/completions", completion, headers
        ),
    }
    measured = {name: asyncio.run(measure(request)) for name, request in rows.items()}
    base_alone, base_rate = measured["the provider alone"]
    with capsys.disabled():
        print(f"\n{CHUNKS}-chunk streams; client, Switchyard and provider share one process")
        for name, (alone, rate) in measured.items():
            ratio = f"{alone / base_alone:5.1f} x the provider, {base_rate / rate:5.1f} x under load"
            print(f"  {name:22} {alone * 1000:7.1f} ms alone, {rate:6.1f} per second   {ratio}")
