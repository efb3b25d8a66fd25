"""Whether the process lives, and whether it can serve."""

from asgiref.sync import async_to_sync
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from gateway.engines.registry import current_engine
from kit.errors import DomainError


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Database, migrations and engine, each by itself; 503 when one is not ready."""
    parts = {"database": _database(), "migrations": "unknown", "engine": _engine()}
    if parts["database"] == "ok":
        parts["migrations"] = migrations.state()
    healthy = all(state == "ok" for state in parts.values())
    return JsonResponse({"status": "ok" if healthy else "unready", **parts}, status=200 if healthy else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # whatever keeps it from answering, it is unreachable
        return "unreachable"
    return "ok"


class Migrations:
    """Whether the schema is what this code needs; once it is, it stays so for this process."""

    def __init__(self) -> None:
        self._done = False

    def state(self) -> str:
        if not self._done:
            executor = MigrationExecutor(connection)
            self._done = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        return "ok" if self._done else "pending"


migrations = Migrations()


def _engine() -> str:
    try:
        async_to_sync(current_engine().health)()
    except DomainError:
        return "unreachable"
    return "ok"
