"""Liveness and readiness of the process."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from gateway.engines.registry import health_probe
from gateway.providers.local import LocalProvider
from kit import redis_access
from kit.errors import DomainError

COMPONENT_SECONDS = 1.5  # a component that takes longer counts as unreachable


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The states of database, migrations and engine; 503 if one is not ready.

    For information it also lists the local model and Redis, which other models' turns don't need.
    """
    engine, others = async_to_sync(_probes)()
    components = {"database": _database(), "migrations": "unknown", "engine": engine}
    if components["database"] == "ok":
        components["migrations"] = migrations.state()
    healthy = all(state == "ok" for state in components.values())
    data = {"status": "ok" if healthy else "unready", **components, **others}
    return JsonResponse(data, status=200 if healthy else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # any failure means that it is unreachable
        return "unreachable"
    return "ok"


class Migrations:
    """Whether all migrations are applied; once they are, this is cached for the process."""

    def __init__(self) -> None:
        self._done = False

    def state(self) -> str:
        if not self._done:
            executor = MigrationExecutor(connection)
            self._done = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        return "ok" if self._done else "pending"


migrations = Migrations()


async def _probes() -> tuple[str, dict[str, str]]:
    """The engine's state, and the informational states."""
    engine, model, redis = await asyncio.gather(_engine(), _state(LocalProvider().health()), _redis())
    return engine, {"local_model": model, **redis}


async def _engine() -> str:
    """An engine without a probe runs in our own processes."""
    probe = health_probe()
    return await _state(probe.health()) if probe is not None else "ok"


async def _state(probe: Coroutine[Any, Any, None]) -> str:
    try:
        async with asyncio.timeout(COMPONENT_SECONDS):
            await probe
    except (DomainError, TimeoutError):
        return "unreachable"
    return "ok"


async def _redis() -> dict[str, str]:
    if not settings.REDIS_URL:
        return {}
    # In a thread, so that a busy event loop does not affect the timeout.
    is_reachable = await asyncio.to_thread(redis_access.is_reachable, settings.REDIS_URL)
    return {"redis": "ok" if is_reachable else "unreachable"}
