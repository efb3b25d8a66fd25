"""A circuit breaker: sends a provider nothing for a while after it has failed several times in a row."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from gateway.errors import ProviderError, ProviderPaused
from gateway.providers.refusals import is_outage

FAILURES = 5
OPEN_SECONDS = 30.0
MOST_BREAKERS = 4096  # then the least recently used is dropped, which closes it


class CircuitBreaker:
    """Opens after FAILURES outages in a row; after OPEN_SECONDS one trial is let through.

    An outage is no connection, no response in time or a 5xx. A 4xx (including 429) or a limit of our own that
    prevented the request (AtCapacity) counts neither as failure nor as success.
    Each process has its own. Thread-safe, since tests and workers have several loops.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None
        self._has_trial = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @contextmanager
    def attempt(self, provider: str) -> Iterator[Callable[[], None]]:
        """Wraps one request; the yielded function is to be called at the first event of the reply.

        ProviderError immediately while open.
        """
        is_trial = self._enter(provider)
        try:
            yield lambda: self._answered(is_trial)
        except ProviderError as exc:
            if is_outage(exc):
                self._failed(is_trial)
            raise
        else:
            self._succeeded(is_trial)
        finally:
            if is_trial:  # also after a cancellation, so that another trial can follow
                self._has_trial = False

    def _enter(self, provider: str) -> bool:
        """True if this attempt is the trial."""
        with self._lock:
            if self._open_until is None:
                return False
            left = self._open_until - self._clock()
            if left > 0 or self._has_trial:
                raise _open_error(provider, max(1, math.ceil(left)))
            self._has_trial = True
            return True

    def _answered(self, is_trial: bool) -> None:
        """A trial closes the breaker; else failures stay counted, since the reply may still break off."""
        if is_trial:
            self._succeeded(is_trial)

    def _succeeded(self, is_trial: bool) -> None:
        with self._lock:
            if is_trial or self._open_until is None:  # a reply that began before the outage proves nothing
                self._failures, self._open_until = 0, None

    def _failed(self, is_trial: bool) -> None:
        with self._lock:
            self._failures += 1
            if is_trial or (self._open_until is None and self._failures >= FAILURES):
                self._open_until = self._clock() + OPEN_SECONDS


def breaker_for(*, provider: str, base_url: str, key: str, owner_id: UUID) -> CircuitBreaker:
    """The process's breaker for this owner's key at this base URL; the key itself is not stored.

    `owner_id` is the credential or, for the local model, the workspace's entry for it. Both belong to one
    workspace, so its failures do not block other workspaces, even with the same key.
    """
    return _breaker(owner_id, provider, base_url, sha256(key.encode()).hexdigest())


def forget_breakers() -> None:
    """Closes all breakers between tests, which share a process."""
    _breaker.cache_clear()


@lru_cache(maxsize=MOST_BREAKERS)
def _breaker(owner_id: UUID, provider: str, base_url: str, key_hash: str) -> CircuitBreaker:
    return CircuitBreaker()


def _open_error(provider: str, seconds: int) -> ProviderPaused:
    return ProviderPaused(
        f"The model's provider is failing. Try again in {seconds} s.",
        provider=provider,
        did_no_work=True,
        retry_after=seconds,
    )
