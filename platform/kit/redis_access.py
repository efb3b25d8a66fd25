"""Redis, which Switchyard can do without: short limits, and one memory of whether it is away."""

import asyncio
import threading
import time

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
SOCKET_SECONDS = 0.3
PROBE_SECONDS = 1.0  # of a probe in all, with the lookup of Redis' name
PAUSE_SECONDS = 5.0  # between two attempts while it is away
MOST_CONNECTIONS = 100_000  # the library's own limit is 100, below the turns that one process runs
FAILURES = (RedisError, OSError)


class Outage:
    """Whether Redis is away, for all threads of the process; the log says so once, and once when it is over.

    While it is away, one caller in PAUSE_SECONDS tries it again and the others go on without it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_again_at = 0.0
        self._is_known = False

    def may_ask(self) -> bool:
        """Whether this caller should try Redis; during an outage that is one at a time."""
        if not self._is_known:
            return True
        with self._lock:
            if time.monotonic() < self._asked_again_at:
                return False
            self._asked_again_at = time.monotonic() + PAUSE_SECONDS
            return True

    def begin(self, problem: Exception) -> None:
        with self._lock:
            self._asked_again_at = time.monotonic() + PAUSE_SECONDS
            was_known, self._is_known = self._is_known, True
        if not was_known:
            log.error(
                "Redis is unreachable: limits are counted per process, replies of other processes come late",
                error=type(problem).__name__,
            )

    def end(self) -> None:
        if not self._is_known:
            return
        with self._lock:
            was_known, self._is_known = self._is_known, False
        if was_known:
            log.info("Redis is back")


def client_of(url: str, *, seconds: float = SOCKET_SECONDS) -> redis.Redis:
    """A client that fails after so many seconds without an answer, and never tries twice."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=seconds,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_CONNECTIONS,
    )


async def is_reachable(url: str) -> bool:
    """Asks it now, by a connection of its own, and tells the others what came of it."""
    client = client_of(url)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await client.ping()
    except FAILURES as problem:
        OUTAGE.begin(problem)
        return False
    finally:
        await client.aclose()
    OUTAGE.end()
    return True


OUTAGE = Outage()
