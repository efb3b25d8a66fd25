"""Redis is optional: short timeouts, and one shared record of its outages."""

import threading
import time

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)
SOCKET_SECONDS = 0.3
PAUSE_SECONDS = 5.0  # between two attempts during an outage
FAILURES = (RedisError, OSError)


class Outage:
    """Whether Redis is unreachable, for all threads of the process. Logged once when an outage begins, with
    what it `means`, and once when it ends.

    During an outage, one caller per PAUSE_SECONDS tries Redis again; all others continue without it.
    """

    def __init__(self, means: str) -> None:
        self._means = means
        self._lock = threading.Lock()
        self._asked_again_at = 0.0
        self._is_known = False

    def may_ask(self) -> bool:
        """Whether this caller should try Redis; during an outage only one at a time."""
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
    """Tries Redis now, on a separate connection, and records the result for the cache. Blocks for up to
    SOCKET_SECONDS if Redis hangs."""
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
