"""Liveness and readiness; the latter names each component that a turn needs."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.tests.cast import Cast
from config.health_endpoints import COMPONENT_SECONDS, Migrations
from kit import redis_access
from kit.tests.ports import free_port

READY = {"status": "ok", "database": "ok", "migrations": "ok", "engine": "ok"}


@pytest.fixture(autouse=True)
def own_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is only unreachable in tests that say so."""
    monkeypatch.setattr(redis_access, "OUTAGE", redis_access.Outage("nothing"))


def test_a_running_process_is_alive(client_of: Any, cast: Cast) -> None:
    assert client_of(None).get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_when_database_migrations_and_engine_are(client_of: Any, cast: Cast) -> None:
    answer = client_of(None).get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {**READY, "local_model": "ok"}


def test_it_is_ready_without_a_local_model_and_reports_that(
    client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    answer = client_of(None).get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {**READY, "local_model": "unreachable"})


def test_without_its_engine_it_is_not_ready(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.ENGINE, settings.LIBRECHAT_URL = "librechat", "http://127.0.0.1:9"
    answer = client_of(None).get("/readyz")
    assert (answer.status_code, answer.json()["engine"]) == (503, "unreachable")


def test_it_is_ready_without_redis_and_reports_that(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    answer = client_of(None).get("/readyz")
    assert (answer.status_code, answer.json()["redis"]) == (200, "unreachable")


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that accepts connections and never responds."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("engine", ["direct", "librechat"])
def test_it_responds_quickly_while_components_hang(
    client_of: Any, cast: Cast, settings: Any, mute: str, engine: str
) -> None:
    settings.ENGINE, settings.LIBRECHAT_URL = engine, f"http://{mute}"
    settings.LOCAL_MODEL_URL, settings.REDIS_URL = f"http://{mute}", f"redis://{mute}/0"
    fastest, client = float("inf"), client_of(None)
    for _ in range(3):  # in case the machine is busy
        begun = time.monotonic()
        report = client.get("/readyz").json()
        fastest = min(fastest, time.monotonic() - begun)
        if fastest < COMPONENT_SECONDS + 1:
            break
    assert fastest < COMPONENT_SECONDS + 1
    assert (report["local_model"], report["redis"]) == ("unreachable", "unreachable")
    assert report["engine"] == ("ok" if engine == "direct" else "unreachable")


@pytest.mark.django_db
def test_a_missing_migration_is_pending() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'quotas'")
    assert Migrations().state() == "pending"
