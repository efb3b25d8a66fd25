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
from benchmarks.peers.table import page
from gateway.tests import snapshot
from tests.cases.collection import Case, Surface, all_cases
from tests.cases.judgement import SECRET
from tests.cases.playback import play_pairs, play_runs
from tests.cases.product import Lane
from tests.cases.runs import Run, script_of
from tests.cases.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "openai": json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "w",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello world"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        }
    ),
    "anthropic": json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "content": [{"type": "text", "text": "Hello world"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 25, "output_tokens": 15},
        }
    ),
}


@pytest.mark.django_db(transaction=True)
def test_the_same_cases_on_both(cast: Cast, capsys: Any) -> None:
    pairs = [(case, surface) for case in all_cases(on_every_surface=True) for surface in comparable(case)]
    ours = play_pairs(pairs, cast)
    snapshot.restore()
    theirs = play_litellm(pairs)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = page(ours, theirs, commit=commit, version=version(), notes=notes_on(theirs))
    (ROOT / "docs" / "peers.md").write_text(text)
    with capsys.disabled():
        print(f"\ndocs/peers.md: {len(theirs)} runs on LiteLLM, {len(ours)} on Switchyard")


def comparable(case: Case) -> list[Surface]:
    """Surfaces on which both gateways send the provider the same kind of request.

    For a whole answer LiteLLM does not ask the provider for a stream, so scripts that stream are left out.
    Responses go to the provider's own Responses API, which the scripts lack, unless the provider is
    Anthropic. A model's own parameters are set differently, and only we have the native route.
    """
    if "model_parameters" in case.data or "on" in case.data:
        return []
    if case.what == "request":
        return case.surfaces
    surfaces = [Surface.CHAT_STREAMED]
    if case.is_anthropic:
        surfaces.append(Surface.RESPONSES_STREAMED)
    script = json.dumps([case.data.get("chunks"), case.data.get("replies")])
    if "data:" not in script and "base64" not in script:
        surfaces.append(Surface.CHAT_WHOLE)
    return [surface for surface in surfaces if case.expectation(surface) is not None]


def play_litellm(pairs: list[tuple[Case, Surface]]) -> list[Run]:
    with Stage() as stage:
        runs = [
            Run(case, surface, cast_lane(PeerLane()), *stage.add(_script(case))) for case, surface in pairs
        ]
        with served_litellm(stage, runs) as base_url:
            asyncio.run(play_runs(runs, base_url))
    return runs


def _script(case: Case) -> dict[str, Any]:
    return (
        {**script_of(case), "whole": WHOLE[case.data["api"]]} if case.what == "request" else script_of(case)
    )


def cast_lane(lane: PeerLane) -> Lane:
    """Types it as a Lane. Runs on these surfaces use only its headers, and install nothing."""
    return typing_cast(Lane, lane)


def notes_on(runs: list[Run]) -> list[str]:
    """What LiteLLM did on points on which it is often said to differ."""
    streamed = [
        run
        for run in runs
        if run.surface is Surface.RESPONSES_STREAMED and run.answers and run.answers[0].lines
    ]
    marked = sum(any(line == "data: [DONE]" for _, line in run.answers[0].lines) for run in streamed)
    leaks = sum(SECRET in json.dumps(run.faults) for run in runs)
    return [
        f"Of LiteLLM's {len(streamed)} Responses streams, {marked} end with `data: [DONE]`. OpenAI's own "
        "streams end with `response.completed`, without the marker.",
        f"The provider's key was in {leaks} of LiteLLM's {len(runs)} answers.",
        "Whole answers are compared only if the provider's script is not a stream: LiteLLM asks the provider "
        "for a whole answer, Switchyard always for a stream. On Responses and Messages, LiteLLM sends an "
        "OpenAI model's request to the provider's own Responses API, which the scripts do not have.",
        'The case "the workspace\'s key" expects a streamed request, so LiteLLM cannot be right there.',
        "Budgets were not compared: LiteLLM's need its database, whose client comes from outside the "
        "registry.",
    ]
