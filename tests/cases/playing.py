"""Plays all chosen cases concurrently, once for the whole test run."""

import asyncio
import traceback
from collections.abc import Sequence

import httpx

from accounts.tests.cast import Cast
from tests.cases.collection import Case, Surface
from tests.cases.product import Lane, create_lanes, served_product
from tests.cases.runs import PATHS, Run, script_of
from tests.cases.stage import Stage

LANES = 8  # cases at a time, without those that mostly wait
WAITS_SECONDS = 2.0


def play(cases: Sequence[Case], surfaces: Sequence[Surface], cast: Cast) -> list[Run]:
    """Every case on each of its surfaces that the product serves, with the faults found."""
    with Stage() as stage:
        lanes = create_lanes(cast, stage, LANES)
        with served_product(stage) as base_url:
            wanted = [surface for surface in surfaces if _is_served(base_url, surface, lanes[0])]
            runs = [run for case in cases for run in _runs_of(case, wanted, stage, lanes)]
            asyncio.run(_play_all(runs, lanes, base_url))
    return runs


def _is_served(base_url: str, surface: Surface, lane: Lane) -> bool:
    headers = {"Authorization": f"Bearer {lane.token}"}
    answer = httpx.post(base_url + PATHS[surface.protocol], json={}, headers=headers, verify=False)
    return answer.status_code != 404


def _runs_of(case: Case, wanted: Sequence[Surface], stage: Stage, lanes: Sequence[Lane]) -> list[Run]:
    runs = []
    for surface in case.surfaces:
        if surface in wanted:
            script, play = stage.add(script_of(case))
            runs.append(Run(case, surface, lanes[int(script[1:]) % len(lanes)], script, play))
            runs[-1].install()
    return runs


async def _play_all(runs: Sequence[Run], lanes: Sequence[Lane], base_url: str) -> None:
    """Eight at a time; those that mostly wait run beside them, the longest first."""
    for lane in lanes:
        headers = {"Authorization": f"Bearer {lane.token}"}
        async with httpx.AsyncClient(base_url=base_url, headers=headers, verify=False) as client:
            await lane.install_tools(client)
    turns, waiting = asyncio.Semaphore(LANES), asyncio.Semaphore(3 * LANES)

    async def one(run: Run) -> None:
        async with waiting if run.case.longest_wait > WAITS_SECONDS else turns:
            try:
                await run.perform(base_url)
            except Exception as exc:
                place = traceback.extract_tb(exc.__traceback__)[-1]
                run.faults = [f"cannot be judged: {exc!r:.200} at {place.name}:{place.lineno}"]

    ordered = sorted(runs, key=lambda run: -run.case.longest_wait)
    await asyncio.gather(*(one(run) for run in ordered))
