"""The cache in Redis, which is optional: during an outage each process uses its own memory.

Limits counted here then apply per process: four processes let four times as much pass.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.retry import Retry

from kit.redis_access import FAILURES, OUTAGE, SOCKET_SECONDS, Outage

T = TypeVar("T")
MOST_ENTRIES = 50_000  # per process during an outage; beyond this the oldest are dropped
OPTIONS = {
    "socket_timeout": SOCKET_SECONDS,
    "socket_connect_timeout": SOCKET_SECONDS,
    "retry": Retry(NoBackoff(), 0),
}


class ForgivingRedisCache(RedisCache):
    """Uses this process's memory while Redis is unreachable.

    Entries from one outage stay until they expire, and count in the next one, so an unstable Redis does not
    reset anyone's limits.
    """

    outage: ClassVar[Outage] = OUTAGE

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, {**params, "OPTIONS": {**OPTIONS, **params.get("OPTIONS", {})}})
        # All instances for one server share it.
        local = {**params, "OPTIONS": {"MAX_ENTRIES": MOST_ENTRIES}}
        self._local = LocMemCache(f"instead of {server}", local)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().add, self._local.add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().get, self._local.get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().set, self._local.set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().touch, self._local.touch, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().delete, self._local.delete, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().get_many, self._local.get_many, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._tried(super().set_many, self._local.set_many, *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> None:
        self._tried(super().delete_many, self._local.delete_many, *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        return self._tried(super().has_key, self._local.has_key, *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> int:
        """Raises ValueError if the key does not exist."""
        return int(self._tried(super().incr, self._local.incr, *args, **kwargs))

    def clear(self) -> None:
        self._tried(super().clear, self._local.clear)

    def _tried(self, remote: Callable[..., T], local: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if not self.outage.may_ask():
            return local(*args, **kwargs)
        try:
            found = remote(*args, **kwargs)
        except FAILURES as problem:
            self.outage.begin(problem)
            return local(*args, **kwargs)
        self.outage.end()
        return found
