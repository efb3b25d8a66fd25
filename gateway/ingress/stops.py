"""Stops turns across processes: a column that says so, and a NOTIFY that makes it quick."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import structlog
from django.db import connection, connections
from django.utils import timezone

from accounts.principals import Principal
from gateway.ingress.following import own_turn
from gateway.ingress.running import runner
from gateway.models import Turn

log = structlog.get_logger(__name__)
CHANNEL = "switchyard_turn_stop"
RECONNECT_SECONDS = 2.0


def request_stop(*, principal: Principal, turn_id: UUID) -> str:
    """Marks one of the caller's own turns as stopped and tells every process; returns its status."""
    turn = own_turn(principal, turn_id)
    if turn.status == Turn.Status.RUNNING:
        Turn.objects.filter(id=turn.id, stop_requested_at=None).update(stop_requested_at=timezone.now())
        notify_stop(turn.id)
    return turn.status


def notify_stop(turn_id: UUID) -> None:
    """Sent when the surrounding transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(turn_id)])


async def listen_for_stops() -> None:
    """Runs for as long as the process does; without it stops still work, at the next heartbeat."""
    while True:
        try:
            await _listen()
        except (psycopg.Error, ValueError) as exc:  # ValueError: somebody else's notice
            log.warning("stop listener lost its connection", error=type(exc).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen() -> None:
    async with await psycopg.AsyncConnection.connect(autocommit=True, **_parameters()) as listener:
        await listener.execute(f"LISTEN {CHANNEL}")
        async for notice in listener.notifies():
            runner().stop(UUID(notice.payload))


def _parameters() -> dict[str, Any]:
    """Django's own connection parameters, less what only its pool and its cursors use."""
    settings = connections["default"].settings_dict
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    return {**options, **{theirs: settings[ours] for theirs, ours in named.items() if settings.get(ours)}}
