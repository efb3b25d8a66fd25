"""Every surface answers well when a provider misbehaves."""

import pytest

from tests.cases.runs import Run

WHAT = "stream"
pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def test_what_a_provider_sends_reaches_the_client(runs: list[Run]) -> None:
    assert {run.surface.value: run.faults for run in runs if run.faults} == {}
