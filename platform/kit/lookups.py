"""Looks up the names of hosts in threads of their own, with shares: slow names delay nobody else's."""

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
MOST_LOOKUPS = 256  # threads, made as they are needed; one that waits costs some 50 kB
OF_A_DOMAIN = 16
QUICK_SECONDS = 0.5
MOST_KNOWN = 4096  # names that are remembered as quick
FULL = "Too many host names are being looked up. Try again shortly."
Ask = Callable[[str], list[str]]


def ask_system(host: str) -> list[str]:
    """The addresses that the system's resolver knows; OSError where it knows none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except OSError as exc:
        if is_shortage(exc):
            raise AtCapacity(FULL) from exc
        raise
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Lookups:
    """At most `most` at a time in a process, one for each name, and never a queue for a thread.

    A resolver cannot be interrupted: a name that answers slowly keeps its thread for up to half a minute,
    also when nobody waits for it any more. So a domain has only a few threads, and names that were not quick
    the last time have only half of all: whoever makes up slow names cannot take those of the well-known ones.
    """

    def __init__(
        self, ask: Ask = ask_system, *, most: int = MOST_LOOKUPS, of_a_domain: int = OF_A_DOMAIN
    ) -> None:
        self._ask, self._most, self._of_a_domain = ask, most, of_a_domain
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix="lookup")
        self._lock = RLock()  # a future that is done already calls back in the thread that holds it
        self._running: dict[str, Future[list[str]]] = {}
        self._quick: OrderedDict[str, None] = OrderedDict()

    async def find(self, host: str) -> list[str]:
        """The host's addresses. OSError where there are none within LOOKUP_SECONDS, AtCapacity beyond its
        domain's share."""
        waiting = asyncio.wrap_future(self._begun(host.lower()))
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await asyncio.shield(waiting)
        except TimeoutError as exc:
            raise OSError(f"the name {host} was not found in time") from exc

    def _begun(self, host: str) -> Future[list[str]]:
        """The lookup of the name that is under way, else a new one."""
        with self._lock:
            if host in self._running:
                return self._running[host]
            self._expect_room(host)
            self._running[host] = future = self._pool.submit(self._ask, host)
            begun = time.monotonic()
            future.add_done_callback(lambda _: self._end(host, time.monotonic() - begun))
            return future

    def _expect_room(self, host: str) -> None:
        domain = domain_of(host)
        of_domain = sum(domain_of(other) == domain for other in self._running)
        strangers = sum(other not in self._quick for other in self._running)
        is_full = len(self._running) >= self._most
        is_strange = host not in self._quick
        if is_full or of_domain >= self._of_a_domain or (is_strange and strangers >= self._most // 2):
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
    """The last two labels: whoever owns them can make up any number of names below."""
    return ".".join(host.rstrip(".").split(".")[-2:])
