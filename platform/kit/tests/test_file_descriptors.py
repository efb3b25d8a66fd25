"""A server raises its limit on descriptors to what its turns need, and warns if the system grants too few."""

import resource
from collections.abc import Iterator
from typing import Any

import pytest

from config.system_checks import check_descriptors
from kit import file_descriptors


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_to_what_turns_need(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limits[1]))
    file_descriptors.raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == limits[1]
    assert soft >= min(file_descriptors.needed(), file_descriptors.granted())
    assert soft > 1024


def test_a_limit_that_is_high_enough_is_left_alone(limits: tuple[int, int]) -> None:
    file_descriptors.raise_limit()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    file_descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@pytest.mark.parametrize(("hard", "warned"), [(4096, False), (1024, True), (resource.RLIM_INFINITY, False)])
def test_too_few_descriptors_for_the_turns_cause_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch, hard: int, warned: bool
) -> None:
    settings.MAX_RUNNING_TURNS = 384
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    warnings = check_descriptors()
    assert [warning.id for warning in warnings] == ["switchyard.W002"] * warned
    assert all("MAX_RUNNING_TURNS=384" in warning.msg for warning in warnings)
