"""Carries a running turn's events to other processes, by Redis Streams where there is REDIS_URL.

Without Redis another process still tells everything that the turn has written down, every two seconds.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import redis.asyncio as redis
import structlog
from django.conf import settings

from gateway.engines.base import Event
from gateway.ingress.transcript import NumberedEvent, Transcript
from kit.per_loop import PerLoop
from kit.tenancy import TenantRef

log = structlog.get_logger(__name__)
WAIT_SECONDS = 1.0  # how long one read waits for news
CLOSING = {"error", "usage", "done"}
KEPT_SECONDS = 600  # after its last event; the database has it all by then

_connections = PerLoop(
    lambda: redis.Redis.from_url(settings.REDIS_URL, decode_responses=True), close=redis.Redis.aclose
)


def stream_name(tenant: TenantRef, turn_id: UUID) -> str:
    return f"switchyard:{tenant.slug}:turn:{turn_id}"


async def send_events(tenant: TenantRef, turn_id: UUID, batches: AsyncIterator[list[NumberedEvent]]) -> None:
    """Copies a turn's events as they come; a failing Redis costs other processes the deltas, nothing else."""
    if not settings.REDIS_URL:
        return
    name = stream_name(tenant, turn_id)
    try:
        async for batch in batches:
            async with _connections.get().pipeline(transaction=False) as pipe:
                for event in batch:
                    pipe.xadd(name, {"event": json.dumps([event.id, event.type, event.data])})
                pipe.expire(name, KEPT_SECONDS)
                await pipe.execute()
    except redis.RedisError as exc:
        log.warning("events are not relayed", turn_id=str(turn_id), error=type(exc).__name__)


async def relayed(tenant: TenantRef, turn_id: UUID) -> Transcript | None:
    """The reply as far as it was relayed; None where nothing was, or Redis is away."""
    if not settings.REDIS_URL:
        return None
    try:
        entries: Any = await _connections.get().xrange(stream_name(tenant, turn_id))
    except redis.RedisError:
        return None
    events = [NumberedEvent(*json.loads(fields["event"])) for _, fields in entries]
    transcript = Transcript({})
    for event in events:
        if event.id > transcript.position and event.type not in CLOSING:
            transcript.append(Event(event.type, event.data))
    return transcript


class Reader:
    """Reads one turn's events that another process sends."""

    def __init__(self, tenant: TenantRef, turn_id: UUID) -> None:
        self._name = stream_name(tenant, turn_id)
        self._cursor = "0"

    async def next_events(self) -> list[NumberedEvent]:
        """What has come since; empty after a second of silence."""
        if not settings.REDIS_URL:
            await asyncio.sleep(WAIT_SECONDS)
            return []
        try:
            answer: Any = await _connections.get().xread(
                {self._name: self._cursor}, block=int(WAIT_SECONDS * 1000)
            )
        except redis.RedisError as exc:
            log.warning("relayed events cannot be read", error=type(exc).__name__)
            await asyncio.sleep(WAIT_SECONDS)
            return []
        entries = answer[0][1] if answer else []
        if entries:
            self._cursor = entries[-1][0]
        return [NumberedEvent(*json.loads(fields["event"])) for _, fields in entries]
