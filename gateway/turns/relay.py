"""Carries a running turn's events to other processes, by Redis Streams where there is REDIS_URL.

Without Redis another process still tells everything that the turn has written down, every two seconds.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import redis.asyncio as redis
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.engines.base import Event
from gateway.turns.transcript import NumberedEvent, Transcript
from kit.per_loop import PerLoop
from kit.redis_access import FAILURES, SOCKET_SECONDS, Outage
from kit.tenancy import TenantRef

WAIT_SECONDS = 1.0  # how long one read waits for news
CLOSING = {"error", "usage", "done"}
ANSWER_SECONDS = 1.0  # how long Redis may take; nobody waits for it but the relay
KEPT_SECONDS = 600  # after its last event; the database has it all by then

MOST_CONNECTIONS = 100_000  # the library's own limit is 100, below the turns that one process runs

# Not the cache's: a limit here may also pass because the event loop is busy, and that must not loosen limits.
OUTAGE = Outage("replies that run in other processes come late")


def _connect() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_timeout=WAIT_SECONDS + ANSWER_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_CONNECTIONS,
    )


_connections = PerLoop(_connect, close=redis.Redis.aclose)


def stream_name(tenant: TenantRef, turn_id: UUID) -> str:
    return f"switchyard:{tenant.slug}:turn:{turn_id}"


async def send_events(tenant: TenantRef, turn_id: UUID, batches: AsyncIterator[list[NumberedEvent]]) -> None:
    """Copies a turn's events as they come; a failing Redis costs other processes the deltas, nothing else.

    A turn that begins while Redis is away, or that it fails, is not relayed to its end.
    """
    if not settings.REDIS_URL or not OUTAGE.may_ask():
        return
    name = stream_name(tenant, turn_id)
    try:
        async for batch in batches:
            async with _connections.get().pipeline(transaction=False) as pipe:
                for event in batch:
                    pipe.xadd(name, {"event": json.dumps([event.id, event.type, event.data])})
                pipe.expire(name, KEPT_SECONDS)
                async with asyncio.timeout(ANSWER_SECONDS):
                    await pipe.execute()
            OUTAGE.end()
    except FAILURES as problem:
        OUTAGE.begin(problem)


async def relayed(tenant: TenantRef, turn_id: UUID) -> Transcript | None:
    """The reply as far as it was relayed; None where nothing was, or Redis is away."""
    if not settings.REDIS_URL:
        return None
    try:
        entries: Any = await _connections.get().xrange(stream_name(tenant, turn_id))
    except FAILURES:
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
        """What has come since; empty after a second of silence, or while Redis is away."""
        if not settings.REDIS_URL or not OUTAGE.may_ask():
            await asyncio.sleep(WAIT_SECONDS)
            return []
        try:
            answer: Any = await _connections.get().xread(
                {self._name: self._cursor}, block=int(WAIT_SECONDS * 1000)
            )
        except FAILURES as problem:
            OUTAGE.begin(problem)
            return []
        OUTAGE.end()
        entries = answer[0][1] if answer else []
        if entries:
            self._cursor = entries[-1][0]
        return [NumberedEvent(*json.loads(fields["event"])) for _, fields in entries]
