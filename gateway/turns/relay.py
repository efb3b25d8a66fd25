"""Carries a running turn's events to other processes, by Redis Streams if REDIS_URL is set.

Without Redis, other processes still send the stored reply so far, which is updated every two seconds.
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

from gateway.turns.event_json import NAMES, relayed_event, relayed_json, reply_event
from gateway.turns.events import Done, Failed, NumberedEvent, UsageTotal
from gateway.turns.transcript import Transcript
from kit.per_loop import PerLoop
from kit.redis_access import FAILURES, SOCKET_SECONDS, Outage
from kit.tenancy import TenantRef

WAIT_SECONDS = 1.0  # how long one read waits for news
CLOSING = {NAMES[kind] for kind in (Failed, UsageTotal, Done)}
ANSWER_SECONDS = 1.0  # how long Redis may take; only the relay waits for it
STREAM_SECONDS = 600  # after the last event; by then the whole reply is in the database
MOST_CONNECTIONS = 100_000  # the library's own limit is 100, below the turns that one process runs

# Not shared with the cache: a timeout here may also mean a busy event loop, which must not loosen limits.
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
    """Copies a turn's events as they come; if Redis fails, other processes lose the deltas, nothing else.

    A turn is not relayed any further if Redis is unavailable at its start or fails later.
    """
    if not settings.REDIS_URL or not OUTAGE.may_ask():
        return
    name = stream_name(tenant, turn_id)
    try:
        async for batch in batches:
            async with _connections.get().pipeline(transaction=False) as pipe:
                for event in batch:
                    pipe.xadd(name, {"event": json.dumps(relayed_json(event))})
                pipe.expire(name, STREAM_SECONDS)
                async with asyncio.timeout(ANSWER_SECONDS):
                    await pipe.execute()
            OUTAGE.end()
    except FAILURES as problem:
        OUTAGE.begin(problem)


async def relayed(tenant: TenantRef, turn_id: UUID) -> Transcript | None:
    """The reply as relayed so far; None if Redis is not used or unavailable."""
    if not settings.REDIS_URL:
        return None
    try:
        entries: Any = await _connections.get().xrange(stream_name(tenant, turn_id))
    except FAILURES:
        return None
    transcript = Transcript()
    for _, fields in entries:
        position, name, data = json.loads(fields["event"])
        if position > transcript.position and name not in CLOSING:
            transcript.append(reply_event(name, data))
    return transcript


class RelayReader:
    """Reads one turn's events from the process that runs it."""

    def __init__(self, tenant: TenantRef, turn_id: UUID) -> None:
        self._name = stream_name(tenant, turn_id)
        self._cursor = "0"

    async def next_events(self) -> list[NumberedEvent]:
        """The events since the last call; empty after a second of silence, or while Redis is unavailable."""
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
        return [relayed_event(json.loads(fields["event"])) for _, fields in entries]
