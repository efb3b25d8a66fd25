"""The only way into a tenant's schema: a tenant is data, never ambient state.

Async code calls `await in_tenant(tenant, func, **kwargs)`: a short sync unit that runs in its own thread,
enters the schema, returns plain data and gives the connection back.
Sync entry points (the web middleware, the REST base view, jobs) use `tenant_scope`.
No upstream call belongs inside a unit. How the schema reaches the server is in `kit/postgresql`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django_tenants.utils import get_public_schema_name, schema_context

from kit.fair_executor import FairExecutor

P = ParamSpec("P")
T = TypeVar("T")

# Async work never waits for Django's single thread-sensitive thread. A system check ensures that the
# connection pool is larger than this number of threads. One tenant gets at most half of them, so that
# waiting for locks on its rows does not delay other tenants.
EXECUTOR = FairExecutor(
    threads=settings.TENANCY_THREADS, most_of_one=max(1, settings.TENANCY_THREADS // 2), name="tenancy"
)


@dataclass(frozen=True, slots=True)
class TenantRef:
    """A tenant as plain data that is safe to pass through async code."""

    id: UUID
    slug: str
    schema_name: str
    time_zone: str = "UTC"  # for the days and months of budgets and usage


@contextmanager
def tenant_scope(tenant: TenantRef) -> Iterator[None]:
    """Runs the block in the tenant's schema, in this thread; for sync entry points."""
    with schema_scope(tenant.schema_name):
        yield


@contextmanager
def schema_scope(schema: str) -> Iterator[None]:
    """The same for a schema by name, such as the template, or one that no tenant has yet."""
    with schema_context(schema):
        yield


@contextmanager
def connection_released() -> Iterator[None]:
    """Gives this thread's connection back, and leaves the tenant's schema, while the block calls out.

    For services between "check" and "save": a slow upstream must hold no connection and no locks. After the
    block, the thread is in the same schema as before.
    """
    if connection.in_atomic_block:
        raise RuntimeError("An outbound call inside a transaction would hold its locks.")
    with schema_context(get_public_schema_name()):
        connection.close()
        yield


async def in_tenant(tenant: TenantRef, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `func` in the tenant's schema, in a thread of the executor, and returns its plain result."""
    return await _in_schema(tenant.schema_name, func, *args, **kwargs)


async def in_public(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `func` with only the shared tables visible, for work outside every tenant's schema."""
    return await _in_schema(get_public_schema_name(), func, *args, **kwargs)


async def _in_schema(schema: str, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    threads: Any = EXECUTOR.of(schema)  # asgiref declares ThreadPoolExecutor, but works with any executor
    unit = sync_to_async(_run_unit, thread_sensitive=False, executor=threads)
    result: T = await unit(schema, func, args, kwargs)
    return result


def _run_unit(schema: str, func: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    try:
        with schema_scope(schema):
            result = func(*args, **kwargs)
    finally:
        connection.close()
    if any(isinstance(part, QuerySet) for part in _parts(result)):
        raise TypeError(f"{func.__qualname__} returned a lazy QuerySet out of its tenant unit.")
    return result


def _parts(result: object) -> Iterator[object]:
    """The result itself, what a container or a dataclass holds directly, and the same one level deeper."""
    yield result
    for part in _contents(result):
        yield part
        yield from _contents(part)


def _contents(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if is_dataclass(value):
        return (getattr(value, field.name, None) for field in fields(value))
    return ()
