"""Notifies other processes immediately, by PostgreSQL's NOTIFY; the truth is always in a table."""

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from django.db import connection

from kit.postgresql.outage import outage, parameters

log = structlog.get_logger(__name__)
RECONNECT_SECONDS = 2.0


def notify(channel: str, payload: str) -> None:
    """Is sent when the surrounding transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])


async def listen(handlers: dict[str, Callable[[str], None]]) -> None:
    """Calls a channel's handler with each payload, for the life of the process; reconnects when necessary."""
    while True:
        try:
            await _listen(handlers)
        except psycopg.Error as exc:
            outage.suspect()
            log.warning("listener lost its connection", error=type(exc).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen(handlers: dict[str, Callable[[str], None]]) -> None:
    async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters()) as listener:
        for channel in handlers:
            await listener.execute(f'LISTEN "{channel}"')
        async for notification in listener.notifies():
            try:
                handlers[notification.channel](notification.payload)
            except ValueError:  # another application's notification
                log.warning("invalid notification", channel=notification.channel)
