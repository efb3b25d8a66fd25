"""The cache in Redis, which the product can do without: each process has one of its own while Redis is away.

Limits that are counted here then hold for each process by itself: with four of them, four times as much may
pass.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.retry import Retry

from kit.redis_access import FAILURES, OUTAGE, SOCKET_SECONDS, Outage

T = TypeVar("T")
MOST_ENTRIES = 50_000  # of a process while Redis is away; beyond this the oldest are dropped
OPTIONS = {
    "socket_timeout": SOCKET_SECONDS,
    "socket_connect_timeout": SOCKET_SECONDS,
    "retry": Retry(NoBackoff(), 0),
}


class ForgivingRedisCache(RedisCache):
    """Counts, remembers and answers in this process's memory while Redis is away.

    What the process remembers of an outage stays until it expires, and counts in the next one: a Redis that
    comes and goes gives nobody a fresh start each time.
    """

    outage: ClassVar[Outage] = OUTAGE

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, {**params, "OPTIONS": {**OPTIONS, **params.get("OPTIONS", {})}})
        # All that are made for one server share it, as they share Redis.
        self._here = LocMemCache(f"instead of {server}", {**params, "OPTIONS": {"MAX_ENTRIES": MOST_ENTRIES}})

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().add, self._here.add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().get, self._here.get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().set, self._here.set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().touch, self._here.touch, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().delete, self._here.delete, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().get_many, self._here.get_many, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().set_many, self._here.set_many, *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().delete_many, self._here.delete_many, *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().has_key, self._here.has_key, *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> int:
        """ValueError for a key that is not there."""
        return int(self._tried(super().incr, self._here.incr, *args, **kwargs))

    def clear(self) -> None:
        self._tried(super().clear, self._here.clear)

    def _tried(self, there: Callable[..., T], here: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if not self.outage.may_ask():
            return here(*args, **kwargs)
        try:
            found = there(*args, **kwargs)
        except FAILURES as problem:
            self.outage.begin(problem)
            return here(*args, **kwargs)
        self.outage.end()
        return found
