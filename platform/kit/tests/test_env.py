"""Invalid values stop the start; valid ones are parsed completely."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from kit import env


def test_a_database_url_is_parsed_completely() -> None:
    url = "postgresql://al%40ice:p%2Fw@db.example:6543/switch%20yard?sslmode=verify-full&sslrootcert=%2Fetc%2Fca"
    assert env.database(url) == {
        "NAME": "switch yard",
        "USER": "al@ice",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "6543",
        "OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/etc/ca"},
    }


def test_a_socket_folder_can_be_in_the_query() -> None:
    assert env.database("postgresql://postgres@/postgres?host=/run/pg")["HOST"] == "/run/pg"


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://host", "nonsense"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        env.database(url)


@pytest.mark.parametrize("value", ["maybe", "2", "-"])
def test_a_boolean_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SWITCH", value)
    with pytest.raises(ImproperlyConfigured, match="SWITCH"):
        env.boolean("SWITCH", True)


@pytest.mark.parametrize("value", ["many", "1.5", "-1"])
def test_a_number_is_whole_and_not_too_small(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NUMBER", value)
    with pytest.raises(ImproperlyConfigured, match="NUMBER"):
        env.integer("NUMBER", 3)
