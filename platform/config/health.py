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
        parts["migrations"] = _migrations()
    healthy = all(state == "ok" for state in parts.values())
    return JsonResponse({"status": "ok" if healthy else "unready", **parts}, status=200 if healthy else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # whatever keeps it from answering, it is unreachable
        return "unreachable"
    return "ok"


def _migrations() -> str:
    """Read once: what is migrated stays so while this code runs."""
    if not _known:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "pending"
        _known.append("ok")
    return _known[0]


_known: list[str] = []


def _engine() -> str:
    try:
        async_to_sync(current_engine().health)()
    except DomainError:
        return "unreachable"
    return "ok"
