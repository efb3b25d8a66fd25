"""The only door into a tenant's schema: a tenant is data, never ambient state.

Async code calls `await in_tenant(tenant, func, **kwargs)`: a short sync unit that runs in a
thread of its own, enters the schema there, returns plain data and gives the connection back.
Sync edges (the web middleware, the REST base view, jobs) use `tenant_scope`.
No upstream call belongs inside a unit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

# Async work never waits for Django's one thread-sensitive thread; the connection pool is larger
# than this number of threads (a system check says so). One tenant has half of them at most, so that what
# waits for a lock in its rows keeps no other tenant's work waiting.
EXECUTOR = FairExecutor(
    threads=settings.TENANCY_THREADS, most_of_one=max(1, settings.TENANCY_THREADS // 2), name="tenancy"
)


@dataclass(frozen=True, slots=True)
class TenantRef:
    """Which tenant, as plain data that may travel through async code."""

    id: UUID
    slug: str
    schema_name: str
    time_zone: str = "UTC"  # its calendar: days and months of budgets and usage


@contextmanager
def tenant_scope(tenant: TenantRef) -> Iterator[None]:
    """Enters the tenant's schema in this thread and leaves it again, for sync edges."""
    with schema_context(tenant.schema_name):
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
    """Runs `func` inside the tenant's schema, in a thread of its own, and returns its plain result."""
    return await _in_schema(tenant.schema_name, func, *args, **kwargs)


async def in_public(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `func` where only the shared tables are seen, for work that belongs to no tenant's schema."""
    return await _in_schema(get_public_schema_name(), func, *args, **kwargs)


async def _in_schema(schema: str, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    threads: Any = EXECUTOR.of(schema)  # asgiref asks for one kind of executor, and works with any
    unit = sync_to_async(_run_unit, thread_sensitive=False, executor=threads)
    result: T = await unit(schema, func, args, kwargs)
    return result


def _run_unit(schema: str, func: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    try:
        with schema_context(schema):
            result = func(*args, **kwargs)
    finally:
        connection.close()
    if isinstance(result, QuerySet):
        raise TypeError(f"{func.__qualname__} returned a lazy QuerySet out of its tenant unit.")
    return result
