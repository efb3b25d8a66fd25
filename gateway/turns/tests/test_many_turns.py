"""A team with 256 turns at one provider: all of them finish, and another team hardly notices."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.egress.tests.remote import install
from gateway.tests.events import STREAM, body, parse, send, text_of
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns.tests.test_crash import web_process
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, UsageRecord
from quotas.tests.ledger import limit_to

pytestmark = [pytest.mark.slow, pytest.mark.alone]
TURNS, PROBES = 256, 9
MOST_TIMES_SLOWER = 20.0  # on two busy cores; if it had to wait for the others, it would time out
STEPS = ["One ", "two ", "three."]


class Patient(ScriptedProvider):
    looks_every = 0.2  # otherwise 256 waiting replies would use up a core


async def read_turn(client: httpx.AsyncClient, number: int) -> str:
    async with AsyncExitStack() as stack:
        payload = body(f"Question {number}", model="gpt")
        answer = await stack.enter_async_context(
            client.stream("POST", "/v1/chat/send", json=payload, headers=STREAM)
        )
        lines = [line async for line in answer.aiter_lines()]
    if answer.status_code != 200:
        return f"{answer.status_code} {lines}"
    received = list(parse(iter(lines)))
    return text_of(received) if received[-1].data == {"finish_reason": "stop"} else repr(received[-3:])


async def read_all(url: str, headers: dict[str, str]) -> list[str]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=300, limits=limits) as client:
        return await asyncio.gather(*(read_turn(client, number) for number in range(TURNS)))


def times_of(client: httpx.Client) -> list[float]:
    times = []
    for _ in range(PROBES):
        begun = time.monotonic()
        answer = send(client, "hi", model="gpt")
        assert (answer.status_code, answer.json().get("reply")) == (200, "".join(STEPS)), answer.text
        times.append(time.monotonic() - begun)
    return times


@pytest.mark.django_db(transaction=True)
def test_256_turns_of_one_team_at_one_host_all_finish_and_another_team_is_not_slower(
    cast: Cast, record_testsuite_property: Callable[[str, object], None]
) -> None:
    limit_to(cast.alice, 10**9)
    gate, provider, replies = threading.Event(), Patient(), []
    provider.script = Script(steps=list(STEPS))
    with Served(provider) as served:
        address = served.url.removeprefix("http://")
        for person in (cast.alice, cast.charlie):  # the same key at the same address
            install(person, served.url)
        more: dict[str, Any] = {"OUTBOUND_ALLOWED": address, "TURN_LEASE_SECONDS": "15"}
        with (
            web_process("http://127.0.0.1:1", **more) as (_, url),
            httpx.Client(base_url=url, headers=cast.charlie.headers, timeout=60) as neighbour,
        ):
            times_of(neighbour)  # the process has warmed up
            idle = times_of(neighbour)
            before = len(provider.requests)
            provider.scripts = [Script(steps=["One ", gate, "two ", "three."]) for _ in range(TURNS)]
            crowd = threading.Thread(
                target=lambda: replies.extend(asyncio.run(read_all(url, cast.alice.headers)))
            )
            crowd.start()
            wait_until(lambda: len(provider.requests) == before + TURNS, 120)
            busy = times_of(neighbour)
            gate.set()
            crowd.join()
            after = times_of(neighbour)
        assert replies == ["".join(STEPS)] * TURNS
        assert len(provider.requests) == TURNS + 4 * PROBES  # none was tried again, no breaker is open
    figures = {"idle": idle, "busy": busy, "after": after}
    record_testsuite_property("seconds of a neighbour's turn", figures)
    assert statistics.median(busy) < MOST_TIMES_SLOWER * statistics.median(idle), figures
    lines = UsageRecord.objects.all()
    charged = sorted((line.input_tokens, line.output_tokens) for line in lines)
    assert charged == sorted(provider.reported)
    assert sum(BudgetWindow.objects.values_list("reserved", flat=True)) == 0
    assert check_ledger().differences == []
