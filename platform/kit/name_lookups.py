"""Resolves host names in dedicated threads, with a share per domain, so that slow names delay no others."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import RLock

from kit.errors import AtCapacity
from kit.transports import is_shortage

LOOKUP_SECONDS = 5.0
MOST_LOOKUPS = 256  # threads, created on demand; a waiting one costs about 50 kB
PER_DOMAIN = 16
QUICK_SECONDS = 0.5
MOST_KNOWN = 4096  # names remembered as quick
FULL = "Too many host names are being looked up. Try again shortly."
Ask = Callable[[str], list[str]]


def ask_system(host: str) -> list[str]:
    """The addresses from the system's resolver. Raises OSError if there are none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except OSError as exc:
        if is_shortage(exc):
            raise AtCapacity(FULL) from exc
        raise
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Lookups:
    """At most `most` lookups per process, one per name, and never a queue for a thread.

    A resolver cannot be interrupted: a slow name occupies its thread for up to half a minute, even when
    nothing waits for it any more. So each domain gets only a few threads, and names that were not quick last
    time share half of all threads: an attacker with slow names cannot block the well-known ones.
    """

    def __init__(
        self, ask: Ask = ask_system, *, most: int = MOST_LOOKUPS, per_domain: int = PER_DOMAIN
    ) -> None:
        self._ask, self._most, self._per_domain = ask, most, per_domain
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix="lookup")
        self._lock = RLock()  # reentrant: a future that is already done calls back in this thread
        self._running: dict[str, Future[list[str]]] = {}
        self._quick: OrderedDict[str, None] = OrderedDict()

    async def find(self, host: str) -> list[str]:
        """The host's addresses. Raises OSError if none are found within LOOKUP_SECONDS, AtCapacity beyond the
        domain's share."""
        waiting = asyncio.wrap_future(self._running_lookup(host.lower()))
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await asyncio.shield(waiting)
        except TimeoutError as exc:
            raise OSError(f"the name {host} was not found in time") from exc

    def _running_lookup(self, host: str) -> Future[list[str]]:
        """The running lookup of the name, or a new one."""
        with self._lock:
            if host in self._running:
                return self._running[host]
            self._check_capacity(host)
            self._running[host] = future = self._pool.submit(self._ask, host)
            begun = time.monotonic()
            future.add_done_callback(lambda _: self._end(host, time.monotonic() - begun))
            return future

    def _check_capacity(self, host: str) -> None:
        domain = domain_of(host)
        of_domain = sum(domain_of(other) == domain for other in self._running)
        unproven = sum(other not in self._quick for other in self._running)
        is_full = len(self._running) >= self._most
        is_unproven = host not in self._quick
        if is_full or of_domain >= self._per_domain or (is_unproven and unproven >= self._most // 2):
            raise AtCapacity(FULL)

    def _end(self, host: str, seconds: float) -> None:
        with self._lock:
            del self._running[host]
            self._quick.pop(host, None)
            if seconds < QUICK_SECONDS:
                self._quick[host] = None
                while len(self._quick) > MOST_KNOWN:
                    self._quick.popitem(last=False)


def domain_of(host: str) -> str:
    """The last two labels: their owner can create any number of names below them."""
    return ".".join(host.rstrip(".").split(".")[-2:])
