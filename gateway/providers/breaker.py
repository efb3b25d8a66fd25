"""Leaves a provider alone for a while after it has failed several times in a row."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from gateway.errors import ProviderError
from gateway.providers.refusals import is_outage

FAILURES = 5
OPEN_SECONDS = 30.0
MOST_BREAKERS = 4096  # the least recently used are forgotten, and so closed


class CircuitBreaker:
    """Opens after FAILURES outages in a row; after OPEN_SECONDS one attempt is let through to try again.

    An outage is no connection, no answer in time or a 5xx; 4xx, and 429 among them, say nothing either way,
    nor does a limit of our own that kept the request here (AtCapacity).
    It knows this process only. Thread-safe, since tests and workers have several loops.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None
        self._is_tried = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @contextmanager
    def attempt(self, provider: str) -> Iterator[Callable[[], None]]:
        """Around one request; what it gives is to be called at the first sign of life.

        ProviderError at once while open.
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
            if is_trial:  # also one that was cancelled, so that the next may try
                self._is_tried = False

    def _enter(self, provider: str) -> bool:
        """Whether this attempt is the trial."""
        with self._lock:
            if self._open_until is None:
                return False
            left = self._open_until - self._clock()
            if left > 0 or self._is_tried:
                raise _open_error(provider, max(1, math.ceil(left)))
            self._is_tried = True
            return True

    def _answered(self, is_trial: bool) -> None:
        """Closes after a trial; a reply that began may still break off, so it does not forget failures."""
        if is_trial:
            self._succeeded(is_trial)

    def _succeeded(self, is_trial: bool) -> None:
        with self._lock:
            if is_trial or self._open_until is None:  # a reply that began before all this proves nothing
                self._failures, self._open_until = 0, None

    def _failed(self, is_trial: bool) -> None:
        with self._lock:
            self._failures += 1
            if is_trial or (self._open_until is None and self._failures >= FAILURES):
                self._open_until = self._clock() + OPEN_SECONDS


def breaker_for(*, provider: str, base_url: str, key: str, owner_id: UUID) -> CircuitBreaker:
    """The process's breaker for this owner's key at this address; the key itself is not kept.

    `owner_id` is the credential or, of the local model, the workspace's own entry of it: both belong to one
    workspace, so failures of its calls close nobody else's way to the provider, even with the same key.
    """
    return _breaker(owner_id, provider, base_url, sha256(key.encode()).hexdigest())


def forget_breakers() -> None:
    """Closes all, as after a start: tests do so, because they share a process."""
    _breaker.cache_clear()


@lru_cache(maxsize=MOST_BREAKERS)
def _breaker(owner_id: UUID, provider: str, base_url: str, key_hash: str) -> CircuitBreaker:
    return CircuitBreaker()


def _open_error(provider: str, seconds: int) -> ProviderError:
    return ProviderError(
        f"The model's provider is failing. Try again in {seconds} s.",
        provider=provider,
        did_no_work=True,
        retry_after=seconds,
    )
