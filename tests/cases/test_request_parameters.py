"""Every parameter of a client reaches the provider or is refused by name."""

import pytest

from tests.cases.runs import Run

WHAT = "request"
pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def test_what_a_client_asks_for_is_sent_or_refused(runs: list[Run]) -> None:
    assert {run.surface.value: run.faults for run in runs if run.faults} == {}
