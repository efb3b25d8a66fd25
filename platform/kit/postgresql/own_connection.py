"""A connection of an event loop's own, beside the pool and its threads: for what must never wait for them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

from kit.per_loop import PerLoop
from kit.postgresql.outage import CONNECT_SECONDS, outage, parameters

STATEMENT_SECONDS = 5.0
FAILURES = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError)


class OwnConnection:
    """Opened at its first statement, and again after a failure; sees the public schema."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement, which is committed; FAILURES where the database does not answer."""
        async with self._lock:
            try:
                async with asyncio.timeout(STATEMENT_SECONDS):
                    cursor = await (await self._open()).execute(sql, values)
                    return await cursor.fetchall()
            except FAILURES:
                outage.suspect()
                await self._close()
                raise

    async def close(self) -> None:
        async with self._lock:
            await self._close()

    async def _open(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            given = {**parameters(), "connect_timeout": CONNECT_SECONDS}
            self._connection = await psycopg.AsyncConnection.connect(autocommit=True, **given)
        return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


_connections = PerLoop(OwnConnection, close=OwnConnection.close)


def own_connection() -> OwnConnection:
    """The running loop's."""
    return _connections.get()
