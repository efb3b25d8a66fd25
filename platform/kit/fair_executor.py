"""A thread pool shared fairly by several parties: no party can take all threads."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
Work = tuple["Future[Any]", Callable[[], Any]]


class FairExecutor:
    """Has `threads` threads; one party gets at most `most_of_one`, and waiting parties take turns."""

    def __init__(self, *, threads: int, most_of_one: int, name: str) -> None:
        self.threads, self.most_of_one = threads, most_of_one
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._lock = Lock()
        self._waiting: OrderedDict[Hashable, deque[Work]] = OrderedDict()  # in the order of their turns
        self._running: dict[Hashable, int] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no work is running or waiting."""
        with self._lock:
            return not self._running and not self._waiting

    def of(self, party: Hashable) -> "PartyExecutor":
        """This party's view of the pool."""
        return PartyExecutor(self, party)

    def submit(self, party: Hashable, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(party, deque()).append((future, work))
            self._start_next()
        return future

    def _start_next(self) -> None:
        """Starts all work that may run. The caller holds the lock."""
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
