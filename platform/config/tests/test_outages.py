"""The database is unreachable, locked or full during turns: nothing is lost."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from devserver import embedded_postgres
from gateway.tests.events import STREAM, body
from gateway.tests.installation import Installation, SmallDisk, Team, ask, expect_exact, timed

pytestmark = pytest.mark.slow
TURNS, WORDS = 30, 30
BEFORE = 4  # seconds until the outage begins
NORMAL_SECONDS = 20.0  # after which everything works again
MOMENT = 8.0  # seconds that a refusal may take; waiting for a connection takes 10


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("outages")) as installation:
        yield installation


@pytest.fixture(scope="module")
def webs(installation: Installation) -> tuple[str, str]:
    installation.start_worker()  # ends turns without lease renewals
    return installation.start_web(), installation.start_web()


@pytest.mark.parametrize("outage", [20, 125])
def test_turns_continue_during_a_database_outage(
    installation: Installation, webs: tuple[str, str], outage: int
) -> None:
    """Half of them end during the outage, the other half after it."""
    url, other = webs
    team = installation.sign_up(url)
    names = [f"t{outage}-{number}" for number in range(TURNS)]
    paces = [(BEFORE + outage / 2) / WORDS, (BEFORE + outage + 12) / WORDS]

    async def run() -> None:
        turns = [
            asyncio.create_task(ask(url, team, name, WORDS, paces[at % 2])) for at, name in enumerate(names)
        ]
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(embedded_postgres.stop, installation.postgres)
        await expect_refusals(url, team.headers)
        await asyncio.sleep(outage)
        for _ in range(3):
            await expect_refusals(other, team.headers)
        await asyncio.to_thread(embedded_postgres.start, installation.postgres)
        async with asyncio.timeout(NORMAL_SECONDS):
            for each in webs:
                while not await works(each, team.headers):
                    await asyncio.sleep(0.1)
        expect_exact(await asyncio.gather(*turns), names, WORDS)

    asyncio.run(run())
    installation.check_ledger()
    assert installation.charged() == installation.counted()


def test_one_teams_locked_counter_does_not_delay_other_teams(
    installation: Installation, webs: tuple[str, str]
) -> None:
    url, elsewhere = webs
    blocked, other = installation.sign_up(url), installation.sign_up(url)
    names = [f"lock-{number}" for number in range(10)]

    async def run() -> None:
        await ask(url, blocked, "first", 2, 0)
        running = [asyncio.create_task(ask(url, other, name, 40, 0.3)) for name in names]
        await asyncio.sleep(1)
        before = await timed_turn(url, other, "before")
        with psycopg.connect(installation.database_url) as connection:
            connection.execute(
                "SELECT 1 FROM quotas_budgetwindow WHERE tenant_id = %s FOR UPDATE", [blocked.tenant_id]
            )
            sends = [asyncio.create_task(ask(url, blocked, f"b{number}", 2, 0)) for number in range(12)]
            await asyncio.sleep(0.5)
            times = [await timed_turn(url, other, f"amid-{number}") for number in range(5)]
            controls = [await timed_turn(elsewhere, other, f"elsewhere-{number}") for number in range(2)]
            refused = await asyncio.gather(*sends)
            await asyncio.sleep(12)
        expect_exact(await asyncio.gather(*running), names, 40)
        assert max(times) < 10 * max(before, *controls) + 1, (before, times, controls)
        for one in refused:
            error = json.loads(one.broken)["error"]
            assert (error["code"], error["details"]["retry_after"] > 0) == ("database_busy", True)
        expect_exact([await ask(url, blocked, "last", 2, 0)], ["last"], 2)

    asyncio.run(run())
    installation.check_ledger()
    assert installation.charged() == installation.counted()


def test_a_hanging_database_counts_as_unreachable(installation: Installation, webs: tuple[str, str]) -> None:
    url, _ = webs
    team = installation.sign_up(url)
    server = psutil.Process(int((installation.postgres / "postmaster.pid").read_text().split()[0]))
    frozen = [server, *server.children(recursive=True)]

    async def run() -> None:
        async with httpx.AsyncClient(
            base_url=url, headers=team.headers, timeout=30, trust_env=False
        ) as client:
            noticed, _ = await timed(lambda: client.get("/v1/me"))
            assert (noticed.status_code, noticed.json()["error"]["code"]) == (503, "database_unavailable")
        await expect_refusals(url, team.headers)

    for process in frozen:
        process.suspend()
    try:
        asyncio.run(run())
    finally:
        for process in frozen:
            process.resume()
    deadline = time.monotonic() + NORMAL_SECONDS
    while not asyncio.run(works(url, team.headers)):
        assert time.monotonic() < deadline


async def timed_turn(url: str, team: Team, name: str) -> float:
    began = time.monotonic()
    expect_exact([await ask(url, team, name, 2, 0)], [name], 2)
    return time.monotonic() - began


def test_replies_survive_a_temporarily_full_disk(tmp_path: Path) -> None:
    """Ten turns end while the disk is full; once there is space, all are stored."""
    names = [f"disk-{number}" for number in range(10)]
    with full_disk(tmp_path) as (installation, fill, free):
        url = installation.start_web()
        team = installation.sign_up(url)

        async def run() -> None:
            turns = [asyncio.create_task(ask(url, team, name, 20, 0.25)) for name in names]
            await asyncio.sleep(2)
            await asyncio.to_thread(fill)
            amid = asyncio.create_task(ask(url, team, "amid", 2, 0))
            await asyncio.sleep(10)
            assert not any(turn.done() for turn in turns)
            await asyncio.to_thread(free)
            async with asyncio.timeout(NORMAL_SECONDS):
                expect_exact(await asyncio.gather(*turns), names, 20)
                late = await amid  # PostgreSQL may have had a page left for its admission
            assert late.finish == "stop" or json.loads(late.broken)["error"]["code"] == "database_unavailable"
            expect_exact([await ask(url, team, "after", 2, 0)], ["after"], 2)

        asyncio.run(run())
        installation.check_ledger()
        assert installation.charged() == installation.counted()


@contextmanager
def full_disk(folder: Path) -> Iterator[tuple[Installation, Callable[[], None], Callable[[], None]]]:
    """An installation and functions that fill and free its disk, or make PostgreSQL report a full one."""
    try:
        with (
            SmallDisk(folder / "disk") as disk,
            Installation(folder, disk.folder / "postgres") as installation,
        ):
            yield installation, disk.fill, disk.free
    except PermissionError:
        with Installation(folder) as installation:
            yield installation, partial(refuse_writes, installation), partial(allow_writes, installation)


WRITTEN = ["quotas_reservation", "quotas_hold", "quotas_usagerecord"]


def refuse_writes(installation: Installation) -> None:
    with psycopg.connect(installation.database_url) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION public.is_full() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        for table in WRITTEN:
            connection.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON public.{table} "
                "EXECUTE FUNCTION public.is_full()"
            )


def allow_writes(installation: Installation) -> None:
    with psycopg.connect(installation.database_url) as connection:
        for table in WRITTEN:
            connection.execute(f"DROP TRIGGER full_disk ON public.{table}")


async def expect_refusals(url: str, headers: dict[str, str]) -> None:
    """Every route promptly responds 503 in the error shape."""
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        message = body("paced x 1 0")
        for method, path, more in [
            ("GET", "/v1/me", {}),
            ("GET", "/v1/conversations", {}),
            ("POST", "/v1/chat/send", {"json": message}),
            ("POST", "/v1/chat/send", {"json": message, "headers": STREAM}),
            ("POST", "/v1/chat/completions", {"json": {"model": "local", "messages": [], "stream": True}}),
            ("GET", "/v1/chat/turns/7f4ee2b4-9f6a-4d53-b1b1-1ea4b3e2f1aa/events", {"headers": STREAM}),
        ]:
            answer, seconds = await timed(lambda m=method, p=path, k=more: client.request(m, p, **k))
            assert answer.status_code == 503, (path, answer.status_code, answer.text)
            assert answer.json()["error"]["code"] == "database_unavailable"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["x-request-id"]
            assert seconds < MOMENT, path
        page, seconds = await timed(lambda: client.get("/accounts/login/"))
        assert (page.status_code, "text/html" in page.headers["content-type"]) in {(503, True), (200, True)}
        assert (await client.get("/healthz")).status_code == 200
        ready, seconds = await timed(lambda: client.get("/readyz"))
        assert (ready.status_code, ready.json()["database"]) == (503, "unreachable")
        assert seconds < MOMENT


async def works(url: str, headers: dict[str, str]) -> bool:
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        me = await client.get("/v1/me")
        said = await client.post("/v1/chat/send", json=body("paced x 1 0", max_tokens=5))
        ready = await client.get("/readyz")
    return [me.status_code, said.status_code, ready.status_code] == [200, 200, 200]
