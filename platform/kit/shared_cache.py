"""The cache in Redis, which the product can do without: while Redis is gone, the cache is as if empty."""

import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import structlog
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)
T = TypeVar("T")
SOCKET_SECONDS = 0.5
PAUSE_SECONDS = 5.0  # in which a Redis that has just failed is not asked again: nobody waits for it in turn
OPTIONS = {
    "socket_timeout": SOCKET_SECONDS,
    "socket_connect_timeout": SOCKET_SECONDS,
    "retry": Retry(NoBackoff(), 0),
}


class Outage:
    """Whether Redis fails, for all threads of the process; the log says so once, and once when it is over."""

    def __init__(self) -> None:
        self.asked_again_at = 0.0
        self.is_known = False

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self.asked_again_at

    def begin(self, problem: Exception) -> None:
        self.asked_again_at = time.monotonic() + PAUSE_SECONDS
        if not self.is_known:
            self.is_known = True
            log.error("cache in Redis unreachable, limits are not counted", error=type(problem).__name__)

    def end(self) -> None:
        if self.is_known:
            self.is_known = False
            log.info("the cache in Redis is back")


class ForgivingRedisCache(RedisCache):
    """Reads find nothing and writes do nothing while Redis is gone: what is limited by it is allowed."""

    outage: ClassVar[Outage] = Outage()

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, {**params, "OPTIONS": {**OPTIONS, **params.get("OPTIONS", {})}})

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().add, True, *args, **kwargs)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._tried(super().get, default, key, default, version)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().set, None, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().touch, False, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().delete, False, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().get_many, {}, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().set_many, [], *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().delete_many, None, *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().has_key, False, *args, **kwargs)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """ValueError for a key that is not there, and so also while none is."""
        counted = self._tried(super().incr, None, key, delta, version)
        if counted is None:
            raise ValueError(f"Key {key!r} not found")
        return int(counted)

    def clear(self) -> None:
        self._tried(super().clear, None)

    def _tried(self, work: Callable[..., T], otherwise: T, *args: Any, **kwargs: Any) -> T:
        if self.outage.lasts:
            return otherwise
        try:
            found = work(*args, **kwargs)
        except (RedisError, OSError) as problem:
            self.outage.begin(problem)
            return otherwise
        self.outage.end()
        return found
