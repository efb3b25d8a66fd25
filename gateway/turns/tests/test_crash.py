"""After a server is killed mid-turn, the next one ends the turn with its stored reply and settles it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import redis
from django.db import connection

from accounts.tests.cast import Cast
from gateway.tests.events import STREAM, StreamEvent, body, parse, resume, text_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns import background
from quotas.models import BudgetWindow, Hold, UsageRecord

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow


@contextmanager
def web_process(
    provider_url: str, *, log: IO[bytes] | None = None, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A web server of its own, on the test's database, with a lease of two seconds; `log` gets its log."""
    database = connection.settings_dict
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.tests.serve_process", str(write)],
        cwd=ROOT,
        pass_fds=[write],
        stderr=log,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
            "LOCAL_MODEL_URL": provider_url,
            "TURN_LEASE_SECONDS": "2",
            **environment,
        },
    )
    os.close(write)
    try:
        with os.fdopen(read) as received:
            port = received.readline().strip()
        assert port, "the server did not start"
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def no_recovery_here(served: Served) -> None:
    """Only web processes of a test's own recover its turns: the served one has another data folder."""
    served.run(_end_background())


async def _end_background() -> None:
    tasks = background._tasks.take() or []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.django_db(transaction=True)
def test_the_next_server_settles_what_a_killed_one_held(
    cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    provider.script = Script(steps=["One ", "two ", threading.Event()])
    with (
        web_process(settings.LOCAL_MODEL_URL) as (process, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer,
    ):
        received = parse(answer.iter_lines())
        started, *_ = next(received), next(received), next(received)
        wait_until(lambda: written_text(cast, started.data["turn_id"]) == "One two ")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert BudgetWindow.objects.get().reserved > 0

    with web_process(settings.LOCAL_MODEL_URL) as (_, url):
        wait_until(lambda: BudgetWindow.objects.get().reserved == 0, 20)
        with httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client:
            turn = client.get(f"/v1/chat/turns/{started.data['turn_id']}").json()
            rest = resume(client, started.data["turn_id"], 5)
            again = client.post(
                "/v1/chat/explain", json=body("on", conversation_id=started.data["conversation_id"])
            )
    assert (turn["status"], turn["finish_reason"], turn["reply"]) == ("done", "interrupted", "One two ")
    assert turn["error"]["code"] == "turn_interrupted"
    assert [event.type for event in rest] == ["delta", "error", "usage", "done"]
    assert again.json()["allowed"] is True
    record = UsageRecord.objects.get()
    assert record.exactness == "estimated"
    assert BudgetWindow.objects.get().used == record.input_tokens + record.output_tokens
    assert Hold.objects.get().state == "written_off"


@pytest.mark.django_db(transaction=True)
@needs("redis-server")
@pytest.mark.usefixtures("redis_url")
@pytest.mark.parametrize("by", ["journal", "relay"])
def test_everything_that_a_client_saw_is_stored(
    cast: Cast, provider: ScriptedProvider, settings: Any, tmp_path: Path, by: str
) -> None:
    """Killed right after a word was heard, and long before the reply is written to the database."""
    provider.script = Script(steps=[*(f"word{number} " for number in range(50)), threading.Event()])
    redis = {"REDIS_URL": settings.REDIS_URL} if by == "relay" else {"REDIS_URL": ""}
    heard: list[StreamEvent] = []
    with (
        web_process(settings.LOCAL_MODEL_URL, DATA_DIR=str(tmp_path / "one"), **redis) as (process, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer,
    ):
        for event in parse(answer.iter_lines()):
            heard.append(event)
            if "word49 " in text_of(heard):
                break
        if by == "relay":
            wait_until(lambda: relayed_events(settings.REDIS_URL) > 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    turn_id = heard[0].data["turn_id"]
    folder = str(tmp_path / ("one" if by == "journal" else "two"))
    with (
        web_process(settings.LOCAL_MODEL_URL, DATA_DIR=folder, **redis) as (_, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as client,
    ):
        rest = resume(client, turn_id, heard[-1].id)
        turn = client.get(f"/v1/chat/turns/{turn_id}").json()
    assert turn["reply"] == text_of(heard)
    assert [event.type for event in rest] == ["error", "usage", "done"]
    assert UsageRecord.objects.get().output_tokens >= 50
    assert not list((tmp_path / "one" / "turns").glob("*")) or by == "relay"


def relayed_events(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as there:
        return sum(there.xlen(name) for name in there.scan_iter("switchyard:*"))


def written_text(cast: Cast, turn_id: str) -> str:
    with connection.cursor() as cursor:
        schema = cast.alice.principal.tenant.schema_name
        cursor.execute(f'SELECT parts FROM "{schema}".gateway_turn WHERE id = %s', [turn_id])
        parts = json.loads(cursor.fetchone()[0])
    return "".join(part["text"] for part in parts)
