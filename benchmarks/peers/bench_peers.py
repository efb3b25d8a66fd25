"""Plays the cases against Switchyard and LiteLLM, and writes docs/peers.md."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any
from typing import cast as typing_cast

import pytest

from accounts.tests.cast import Cast
from benchmarks.peers.litellm_proxy import PeerLane, served_litellm, version
from benchmarks.peers.table import NAMES, page
from gateway.tests import snapshot
from tests.cases.collection import Case, Surface, all_cases
from tests.cases.playing import play, play_runs
from tests.cases.product import Lane
from tests.cases.runs import Run, script_of
from tests.cases.stage import Stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.django_db(transaction=True)
def test_the_same_cases_on_both(cast: Cast, capsys: Any) -> None:
    # A model's own parameters are set in another way there, and the native route is ours alone.
    cases = [
        case for case in all_cases() if "model_parameters" not in case.data and case.data.get("on") != "send"
    ]
    ours = play(cases, list(NAMES), cast)
    snapshot.restore()
    theirs = play_litellm(cases, list(NAMES))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = page(ours, theirs, commit=commit, version=version(), notes=notes_on(theirs))
    (ROOT / "docs" / "peers.md").write_text(text)
    with capsys.disabled():
        print(f"\ndocs/peers.md: {len(theirs)} runs on LiteLLM, {len(ours)} on Switchyard")


def play_litellm(cases: list[Case], surfaces: list[Surface]) -> list[Run]:
    with Stage() as stage:
        runs = [
            Run(case, surface, cast_lane(PeerLane()), *stage.add(script_of(case)))
            for case in cases
            for surface in case.surfaces
            if surface in surfaces
        ]
        with served_litellm(stage, runs) as base_url:
            asyncio.run(play_runs(runs, base_url))
    return runs


def cast_lane(lane: PeerLane) -> Lane:
    """Only its headers are used: no run on these surfaces installs anything."""
    return typing_cast(Lane, lane)


def notes_on(runs: list[Run]) -> list[str]:
    """What LiteLLM did, where people say that it differs."""
    streamed = [
        run
        for run in runs
        if run.surface is Surface.RESPONSES_STREAMED and run.answers and run.answers[0].lines
    ]
    marked = sum(any(line == "data: [DONE]" for _, line in run.answers[0].lines) for run in streamed)
    leaks = sum("sk-cases-SECRET" in json.dumps(run.faults) for run in runs)
    return [
        f"Of LiteLLM's {len(streamed)} Responses streams, {marked} end with `data: [DONE]`. OpenAI's own "
        "end with `response.completed` and without the marker.",
        f"The provider's key was in {leaks} of LiteLLM's {len(runs)} answers.",
        "Budgets were not compared: LiteLLM's need its database, whose client comes from outside the "
        "registry.",
    ]
