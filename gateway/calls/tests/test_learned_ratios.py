"""A model's latest exact counts raise its own estimates only, in bounded memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from gateway.calls.learned_ratios import LearnedRatios
from gateway.calls.tests.test_charges import model_at
from workspaces.language_models.queries import Endpoint

MODEL = model_at("https://models.example.com/v1", "compatible")


def learned(*counts: int, **bounds: Any) -> LearnedRatios:
    ratios = LearnedRatios(**bounds)
    for counted in counts:
        ratios.learn(MODEL, counted=counted, estimated=100)
    return ratios


@pytest.mark.parametrize(
    ("counts", "ratio"), [((), 1.0), ((80,), 1.0), ((250, 100, 400, 80), 4.0), ((0,), 1.0)]
)
def test_the_highest_recent_ratio_applies_and_never_lowers_an_estimate(
    counts: tuple[int, ...], ratio: float
) -> None:
    assert learned(*counts).ratio_of(MODEL) == ratio


def test_an_old_call_is_dropped() -> None:
    assert learned(400, *[110] * 4, recent=4).ratio_of(MODEL) == 1.1


def test_an_empty_estimate_is_ignored() -> None:
    ratios = LearnedRatios()
    ratios.learn(MODEL, counted=10, estimated=0)
    assert len(ratios) == 0


def test_other_models_and_base_urls_are_not_affected() -> None:
    ratios = learned(400)
    elsewhere = Endpoint(uuid4(), "https://other.example.com/v1", "")
    assert ratios.ratio_of(replace(MODEL, upstream_name="other")) == 1.0
    assert ratios.ratio_of(replace(MODEL, provider="openai")) == 1.0
    assert ratios.ratio_of(replace(MODEL, endpoint=elsewhere)) == 1.0
    assert ratios.ratio_of(replace(MODEL, endpoint=None)) == 1.0
    assert ratios.ratio_of(replace(MODEL, slug="its-name-here")) == 4.0


def test_the_least_recently_used_models_are_dropped() -> None:
    ratios = learned(400, most_models=3)
    for at in range(3):
        ratios.learn(replace(MODEL, upstream_name=str(at)), counted=200, estimated=100)
    assert len(ratios) == 3
    assert ratios.ratio_of(MODEL) == 1.0


def test_many_threads_can_learn_concurrently() -> None:
    ratios = LearnedRatios(most_models=8)

    def learn(at: int) -> float:
        model = replace(MODEL, upstream_name=str(at % 16))
        ratios.learn(model, counted=100 + at, estimated=100)
        return ratios.ratio_of(model)

    with ThreadPoolExecutor(8) as pool:
        assert min(pool.map(learn, range(2000))) >= 1.0
    assert len(ratios) == 8
