"""Whether PostgreSQL can be reached, known to all threads of the process.

While it cannot, nothing waits for a connection: a thread of its own asks every half second, and the first
answer ends the outage for everyone.
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
CONNECT_SECONDS = 2  # that an attempt may take; the least that libpq knows
PAUSE_SECONDS = 0.5


def parameters() -> dict[str, Any]:
    """Django's own connection parameters, less what only its pool and its cursors use."""
    settings = connections["default"].settings_dict
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    return {**options, **{theirs: settings[ours] for theirs, ours in named.items() if settings.get(ours)}}


class DatabaseAway(psycopg.OperationalError):
    """PostgreSQL is known not to answer, so nothing was tried."""


class Outage:
    """An outage begins with a failed connection that a second one confirms, and ends with one that works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_asking = False
        self._is_known = False
        self._reached_at = -math.inf

    @property
    def lasts(self) -> bool:
        return self._is_known

    def seconds_since(self) -> float:
        """Since the database answered again after a lost connection; 0 until it has, infinite without one."""
        return 0.0 if self._is_asking else time.monotonic() - self._reached_at

    def expect_none(self) -> None:
        if self._is_known:
            raise DatabaseAway("The database cannot be reached.")

    def suspect(self) -> None:
        """Asks PostgreSQL in the background until it answers."""
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
    """What keeps PostgreSQL from answering; a server that has no place for one more lives."""
    try:
        psycopg.connect(**{**parameters(), "connect_timeout": CONNECT_SECONDS}).close()
    except TooManyConnections:
        return None
    except (psycopg.Error, OSError) as problem:
        return problem
    return None


outage = Outage()
