"""Benchmarks use the test suite's cast and servers, but send more requests than people may."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_limit_on_requests(settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = settings.API_KEY_REQUESTS_PER_MINUTE = 10**9
