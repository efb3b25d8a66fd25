"""Whether PostgreSQL is reachable, shared by all threads of the process.

During an outage nothing waits for a connection: a background thread tries every half second, and its first
success ends the outage for all threads.
"""

import math
import threading
import time
from typing import Any

import psycopg
import structlog
from django.db import connections
from psycopg.errors import TooManyConnections

log = structlog.get_logger(__name__)
CONNECT_SECONDS = 2  # per attempt; the shortest timeout that libpq supports
PAUSE_SECONDS = 0.5


def parameters() -> dict[str, Any]:
    """Django's connection parameters, without those that only its pool and cursors use."""
    settings = connections["default"].settings_dict
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    return {**options, **{theirs: settings[ours] for theirs, ours in named.items() if settings.get(ours)}}


class DatabaseAway(psycopg.OperationalError):
    """An outage is known, so no connection was attempted."""


class Outage:
    """Begins when a second failed connection confirms the first, and ends with one that works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_asking = False
        self._is_known = False
        self._reached_at = -math.inf

    @property
    def lasts(self) -> bool:
        return self._is_known

    def seconds_since(self) -> float:
        """Seconds since the last outage ended: 0 during one, infinite if there was none."""
        return 0.0 if self._is_asking else time.monotonic() - self._reached_at

    def expect_none(self) -> None:
        if self._is_known:
            raise DatabaseAway("The database cannot be reached.")

    def suspect(self) -> None:
        """Tries to connect in the background until PostgreSQL responds."""
        with self._lock:
            if self._is_asking:
                return
            self._is_asking = True
        threading.Thread(target=self._ask, name="database outage", daemon=True).start()

    def _ask(self) -> None:
        try:
            while (problem := _connect()) is not None:
                self._begin(problem)
                time.sleep(PAUSE_SECONDS)
        finally:
            self._reached_at = time.monotonic()
            self._end()
            with self._lock:
                self._is_asking = False

    def _begin(self, problem: Exception) -> None:
        if not self._is_known:
            self._is_known = True
            log.error("the database cannot be reached", error=type(problem).__name__)

    def _end(self) -> None:
        if self._is_known:
            self._is_known = False
            log.info("the database is back")


def _connect() -> Exception | None:
    """The reason why PostgreSQL is unreachable; a server that is out of connections is reachable."""
    try:
        psycopg.connect(**{**parameters(), "connect_timeout": CONNECT_SECONDS}).close()
    except TooManyConnections:
        return None
    except (psycopg.Error, OSError) as problem:
        return problem
    return None


outage = Outage()
