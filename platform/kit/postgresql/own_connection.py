"""One connection per event loop, for work that must never wait for the pool or its threads."""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

from kit.per_loop import PerLoop
from kit.postgresql.outage import CONNECT_SECONDS, outage, parameters

STATEMENT_SECONDS = 5.0
FAILURES = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError)


class OwnConnection:
    """Opened for its first statement, and reopened after a failure; uses the public schema."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Runs and commits one statement and returns its rows; raises FAILURES during an outage."""
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
    """The running loop's connection."""
    return _connections.get()
