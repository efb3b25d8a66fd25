"""Each client's checks, one test each: chat, streams, tools, structured output, errors, retries."""

import pytest

from tests.compat.conftest import Outcomes
from tests.compat.installation import Installation
from tests.compat.results import CLIENTS, Client, outcomes_of

pytestmark = [pytest.mark.slow, pytest.mark.compat]
CASES = [
    pytest.param(client, check, id=f"{client.name}: {check}") for client in CLIENTS for check in client.checks
]


@pytest.mark.parametrize(("client", "check"), CASES)
def test_it_works_with(
    client: Client,
    check: str,
    installation: Installation,
    outcomes: Outcomes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A driver runs once, for all its client's checks."""
    if client.name not in outcomes:
        outcomes[client.name] = outcomes_of(client, installation, tmp_path_factory.mktemp("home"))
    found = outcomes[client.name][check]
    assert found.ok, found.detail
