"""Plays all chosen cases concurrently, once per test run."""

import asyncio
import traceback
from collections.abc import Sequence

import httpx

from accounts.tests.cast import Cast
from tests.cases.collection import Case, Surface
from tests.cases.product import create_lanes, served_product
from tests.cases.runs import Run, script_of
from tests.cases.stage import Stage

CONCURRENT_RUNS = 8
MODELS_PER_WORKSPACE = 40  # fewer than a workspace may have
LONG_WAIT_SECONDS = 2.0
PACE_SECONDS = 0.2  # between the starts of slow runs


def play(cases: Sequence[Case], surfaces: Sequence[Surface], cast: Cast) -> list[Run]:
    """Plays every case on each of its surfaces; the runs have the faults."""
    pairs = [(case, surface) for case in cases for surface in case.surfaces if surface in surfaces]
    return play_pairs(pairs, cast)


def play_pairs(pairs: Sequence[tuple[Case, Surface]], cast: Cast) -> list[Run]:
    with Stage() as stage:
        lanes = create_lanes(cast, stage, 1 + len(pairs) // MODELS_PER_WORKSPACE)
        with served_product(stage) as base_url:
            runs = [
                Run(case, surface, lanes[number % len(lanes)], *stage.add(script_of(case)))
                for number, (case, surface) in enumerate(pairs)
            ]
            for lane in lanes:
                lane.install([run.installation for run in runs if run.lane is lane and run.is_plain])
            asyncio.run(_install_tools(runs, base_url))
            asyncio.run(play_runs(runs, base_url))
    return runs


async def _install_tools(runs: Sequence[Run], base_url: str) -> None:
    async with _client(base_url) as client:
        for lane in {run.lane.slug: run.lane for run in runs if run.needs_tools}.values():
            await lane.install_tools(client)


async def play_runs(runs: Sequence[Run], base_url: str) -> None:
    """Runs that mostly wait are played last and together, so that quick ones do not distort their times."""
    quick = [run for run in runs if run.case.longest_wait < LONG_WAIT_SECONDS]
    slow = [run for run in runs if run.case.longest_wait >= LONG_WAIT_SECONDS]
    async with _client(base_url) as client, asyncio.TaskGroup() as group:
        turns = asyncio.Semaphore(CONCURRENT_RUNS)
        await asyncio.gather(*(_play(run, client, turns) for run in quick))
        for run in slow:
            group.create_task(_play(run, client, asyncio.Semaphore()))
            await asyncio.sleep(PACE_SECONDS)


def _client(base_url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=base_url, timeout=None, verify=False, limits=limits)


async def _play(run: Run, client: httpx.AsyncClient, turns: asyncio.Semaphore) -> None:
    async with turns:
        try:
            await run.perform(client)
        except Exception as exc:
            place = traceback.extract_tb(exc.__traceback__)[-1]
            run.faults = [f"cannot be judged: {exc!r:.200} at {place.name}:{place.lineno}"]
