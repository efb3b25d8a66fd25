"""One test for each check of each client: chat, streams, tools, structured output, errors, retries."""

from collections.abc import Callable

import pytest

from tests.compat.conftest import Results
from tests.compat.results import CLIENTS, Client

pytestmark = [pytest.mark.slow, pytest.mark.compat]
CASES = [
    pytest.param(client, check, id=f"{client.name}: {check}") for client in CLIENTS for check in client.checks
]


@pytest.mark.parametrize(("client", "check"), CASES)
def test_it_works_with(client: Client, check: str, results_of: Callable[[Client], Results]) -> None:
    found = results_of(client)[check]
    assert found.ok, found.detail
