"""The docs list every client in its pinned version, with every check of its drivers."""

from tests.compat.results import CLIENTS
from tests.compat.table import COLUMNS, FAILS, WORKS, apis_of, shown_table, table


def test_the_docs_list_every_client_and_check() -> None:
    shown = shown_table()
    everything_works = table({client.name: dict.fromkeys(client.checks, True) for client in CLIENTS})
    assert shown.replace(FAILS, WORKS) == everything_works, "run `make compat`"


def test_every_check_is_of_a_known_api() -> None:
    for client in CLIENTS:
        assert client.checks, f"{client.name} has no checks"
        assert len(set(client.checks)) == len(client.checks), f"{client.name} has a check twice"
        assert len(apis_of(client)) == len({check.partition(" ")[0] for check in client.checks})
    tried = {check.partition(" ")[2] for client in CLIENTS for check in client.checks}
    assert set(COLUMNS) <= tried, "a column has no check"
