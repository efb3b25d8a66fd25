"""The backend that Django loads by name: callers do not wait for the pool during an outage."""

import selectors
import time
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError
from django.db.backends.base.base import NO_DB_ALIAS
from django_tenants.postgresql_backend import base
from psycopg import Connection, OperationalError
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg_pool import ConnectionPool, PoolTimeout

from kit.postgresql.outage import outage
from kit.postgresql.search_path import SearchPath

LOOK_SECONDS = 0.25  # how soon a caller waiting for a connection notices an outage
LOCK_SECONDS = 3  # how long a statement waits for a lock
RECONNECT_SECONDS = 2.0  # how long the pool retries by itself; after that the next request triggers a retry
CHECK_SECONDS = 1.0  # how long a connection may take to prove that it is alive
PATH_CHANGES = ("search_path", "DISCARD", "RESET")  # in statements after which the path is unknown
_bounds_locks = False


def bound_locks() -> None:
    """Limits how long statements of this process wait for locks, to LOCK_SECONDS.

    Servers call this before their first connection. Migrations don't: they wait as long as necessary.
    """
    global _bounds_locks  # noqa: PLW0603 - set once, when a server starts
    _bounds_locks = True


class WatchedPool(ConnectionPool[Connection[Any]]):
    """Reports failed connections, and stops waiting for one as soon as an outage is known."""

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """Raises PoolTimeout if all are in use for too long, DatabaseAway during an outage."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            outage.expect_none()
            left = deadline - time.monotonic()
            try:
                return super().getconn(max(0.0, min(LOOK_SECONDS, left)))
            except PoolTimeout:
                if left <= LOOK_SECONDS:
                    raise

    def _connect(self, timeout: float | None = None) -> Connection[Any]:
        try:
            return super()._connect(timeout)
        except Exception:
            outage.suspect()
            raise


def check_connection(connection: Connection[Any]) -> None:
    """Closes the connection and raises if it is broken or the server does not respond in time.

    psycopg's own check would wait as long as the server hangs.
    """
    pgconn = connection.pgconn
    try:
        pgconn.send_query(b"")
        _wait_for_results(pgconn)
    except Exception:
        connection.close()
        outage.suspect()
        raise


def _wait_for_results(pgconn: PGconn) -> None:
    deadline = time.monotonic() + CHECK_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        while pgconn.is_busy():
            if not selector.select(deadline - time.monotonic()):
                raise OperationalError("the server does not respond")
            pgconn.consume_input()
    while (result := pgconn.get_result()) is not None:
        if result.status == ExecStatus.FATAL_ERROR:  # its last message: that it ended the connection
            raise OperationalError("the server ended the connection")


class DatabaseWrapper(base.DatabaseWrapper):
    """django-tenants' backend on a watched pool, with one SET search_path per unit of work."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._search_path = SearchPath()
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._execute_in_schema)

    @property
    def pool(self) -> ConnectionPool[Connection[Any]] | None:
        """Django's pool property, with our class."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if not options or self.alias == NO_DB_ALIAS:
            return None
        if self.alias not in self._connection_pools:
            made = WatchedPool(
                kwargs={**self.get_connection_params(), "autocommit": True},
                open=False,
                configure=self._configure_connection,
                check=check_connection,
                reconnect_timeout=RECONNECT_SECONDS,
                **options,
            )
            self._connection_pools.setdefault(self.alias, made)
        pool: ConnectionPool[Connection[Any]] = self._connection_pools[self.alias]
        return pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """A connection from the pool may still have the search path of another tenant."""
        self._search_path.forget()
        connection: Connection[Any] = super().get_new_connection(conn_params)
        return connection

    def savepoint_rollback(self, sid: str) -> None:
        try:
            super().savepoint_rollback(sid)
        finally:
            self._search_path.forget_transaction()

    def _set_autocommit(self, autocommit: bool) -> None:
        """Sets the path before a transaction begins, so that rolling back does not undo it."""
        if not autocommit:
            self._enter_schema()
        super()._set_autocommit(autocommit)

    def _handle_search_path(self, cursor: Any = None) -> None:
        """django-tenants calls this for each new cursor, also for those that copy."""
        self._enter_schema()

    def _execute_in_schema(
        self, execute: Callable[..., Any], statement: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Around each statement, because the schema may have changed since its cursor was created."""
        if context["cursor"].connection is not self.connection:
            raise InterfaceError("This cursor's connection was given back; another tenant may be using it.")
        self._enter_schema()
        try:
            return execute(statement, params, many, context)
        finally:
            text = statement if isinstance(statement, str) else repr(statement)
            if any(word in text for word in PATH_CHANGES):
                self._search_path.forget()

    def _enter_schema(self) -> None:
        with self.wrap_database_errors:
            statement = self._search_path.enter(self.connection, tuple(self._get_cursor_search_paths()))
        if statement and self.queries_logged:
            self.queries_log.append({"sql": statement, "time": "0.000"})

    def _configure_connection(self, connection: Connection[Any]) -> None:
        super()._configure_connection(connection)
        if _bounds_locks:
            connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
