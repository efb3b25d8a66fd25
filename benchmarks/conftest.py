"""Benchmarks use the suite's own cast and servers, whose people send more than people may."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_limit_on_requests(settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = settings.API_KEY_REQUESTS_PER_MINUTE = 10**9
