"""The clients' environments, the running installation that they share, and their drivers' reports."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.compat.environments import Environments, install
from tests.compat.installation import Installation, running_installation
from tests.compat.results import CLIENTS, Client, Outcome, outcomes_of
from tests.compat.table import show, table

Results = dict[str, Outcome]  # by the name of the check


@pytest.fixture(scope="session")
def environments() -> Environments:
    return install()


@pytest.fixture(scope="session")
def installation(
    environments: Environments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("compat")) as running:
        yield running


@pytest.fixture(scope="session")
def results_of(
    environments: Environments, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Client], Results]]:
    """`results_of(client)` runs its drivers once. `make compat` shows the table if all clients ran."""
    collected: dict[str, Results] = {}

    def results(client: Client) -> Results:
        if client.name not in collected:
            folder = tmp_path_factory.mktemp("home")
            collected[client.name] = outcomes_of(client, environments, installation, folder)
        return collected[client.name]

    yield results
    if os.environ.get("COMPAT_TABLE") and len(collected) == len(CLIENTS):
        passed = {
            name: {check: each.ok for check, each in found.items()} for name, found in collected.items()
        }
        print(f"\n\n{table(passed)}\n")
        show(passed)
