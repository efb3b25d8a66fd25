"""Each client's checks, one test each: chat, streams, tools, structured output, errors, retries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.installation import Installation, running_installation
from tests.compat.results import CLIENTS, Client, Outcome, outcomes_of

pytestmark = [pytest.mark.slow, pytest.mark.compat]


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("compat")) as running:
        yield running


@pytest.fixture(scope="session")
def outcomes() -> dict[Client, dict[str, Outcome]]:
    """What the drivers reported so far: each runs once."""
    return {}


@pytest.mark.parametrize(
    ("client", "check"),
    [
        pytest.param(client, check, id=f"{client.name}: {check}")
        for client in CLIENTS
        for check in client.checks
    ],
)
def test_it_works_with(
    client: Client,
    check: str,
    installation: Installation,
    outcomes: dict[Client, dict[str, Outcome]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if client not in outcomes:
        outcomes[client] = outcomes_of(client, installation, tmp_path_factory.mktemp("home"))
    found = outcomes[client][check]
    assert found.ok, found.detail
