"""Redis, which Switchyard can do without: short limits, and one memory of whether it is away."""

import threading
import time

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)
SOCKET_SECONDS = 0.3
PAUSE_SECONDS = 5.0  # between two attempts while it is away
FAILURES = (RedisError, OSError)


class Outage:
    """Whether Redis is away, for all threads of the process; the log says so once, with what it `means`, and
    once when it is over.

    While it is away, one caller in PAUSE_SECONDS tries it again and the others go on without it.
    """

    def __init__(self, means: str) -> None:
        self._means = means
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
            log.error("Redis is unreachable", means=self._means, error=type(problem).__name__)

    def end(self) -> None:
        if not self._is_known:
            return
        with self._lock:
            was_known, self._is_known = self._is_known, False
        if was_known:
            log.info("Redis is back", ends=self._means)


def is_reachable(url: str) -> bool:
    """Asks Redis now, by a connection of its own; the cache learns what came of it. Blocks for SOCKET_SECONDS
    where Redis hangs."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except FAILURES as problem:
        OUTAGE.begin(problem)
        return False
    finally:
        client.close()
    OUTAGE.end()
    return True


OUTAGE = Outage("limits are counted per process")  # of the cache
