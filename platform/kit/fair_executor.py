"""Threads that several parties share: no party's work takes so many that the others have to wait for it."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
Work = tuple["Future[Any]", Callable[[], Any]]


class FairExecutor:
    """`threads` in all, of which one party may have `most_of_one`; the parties that wait take turns."""

    def __init__(self, *, threads: int, most_of_one: int, name: str) -> None:
        self.threads, self.most_of_one = threads, most_of_one
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._lock = Lock()
        self._waiting: OrderedDict[Hashable, deque[Work]] = OrderedDict()  # who comes next is first
        self._running: dict[Hashable, int] = {}

    @property
    def is_idle(self) -> bool:
        """Nothing runs or waits."""
        with self._lock:
            return not self._running and not self._waiting

    def of(self, party: Hashable) -> "PartyExecutor":
        """The same threads, as this party may use them."""
        return PartyExecutor(self, party)

    def submit(self, party: Hashable, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(party, deque()).append((future, work))
            self._start_next()
        return future

    def _start_next(self) -> None:
        """Starts all that may run; the lock is held."""
        while sum(self._running.values()) < self.threads:
            party = next((one for one in self._waiting if self._may_run(one)), None)
            if party is None:
                return
            queue = self._waiting.pop(party)
            future, work = queue.popleft()
            if queue:
                self._waiting[party] = queue
            self._running[party] = self._running.get(party, 0) + 1
            self._pool.submit(self._run, party, future, work)

    def _may_run(self, party: Hashable) -> bool:
        return self._running.get(party, 0) < self.most_of_one

    def _run(self, party: Hashable, future: "Future[Any]", work: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                _fulfil(future, work)
        finally:
            with self._lock:
                self._running[party] -= 1
                if not self._running[party]:
                    del self._running[party]
                self._start_next()


def _fulfil(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as problem:
        future.set_exception(problem)
    else:
        future.set_result(result)


class PartyExecutor(Executor):
    """For `loop.run_in_executor`."""

    def __init__(self, shared: FairExecutor, party: Hashable) -> None:
        self._shared, self._party = shared, party

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        return self._shared.submit(self._party, lambda: work(*args, **kwargs))
