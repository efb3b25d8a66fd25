"""The running installation that all clients share, and what their drivers reported."""

import os
from collections.abc import Iterator

import pytest

from tests.compat.installation import Installation, running_installation
from tests.compat.results import CLIENTS, Outcome
from tests.compat.table import show, table

Outcomes = dict[str, dict[str, Outcome]]  # by the client's name and the check's


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("compat")) as running:
        yield running


@pytest.fixture(scope="session")
def outcomes() -> Iterator[Outcomes]:
    """Filled by the tests. `make compat` prints the table and writes it into the docs if all clients ran."""
    collected: Outcomes = {}
    yield collected
    if not os.environ.get("COMPAT_TABLE") or len(collected) < len(CLIENTS):
        return
    passed = {name: {check: each.ok for check, each in found.items()} for name, found in collected.items()}
    print(f"\n\n{table(passed)}\n")
    show(passed)
