"""Alive is one thing, ready another: each part that a turn needs is named."""

from typing import Any

import pytest
from django.db import connection

from accounts.tests.cast import Cast
from config.health import Migrations


def test_a_live_process_says_so(client_of: Any, cast: Cast) -> None:
    assert client_of(None).get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_when_database_migrations_and_engine_are(client_of: Any, cast: Cast) -> None:
    answer = client_of(None).get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "ok", "migrations": "ok", "engine": "ok"}


def test_without_its_engine_it_is_not_ready(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    answer = client_of(None).get("/readyz")
    assert (answer.status_code, answer.json()["engine"]) == (503, "unreachable")


@pytest.mark.django_db
def test_a_migration_that_is_missing_is_pending() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'quotas'")
    assert Migrations().state() == "pending"
