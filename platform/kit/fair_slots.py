"""A few slots for expensive work, shared fairly: one payer's queue never blocks others."""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from kit.errors import AtCapacity

Payers = tuple[Hashable, ...]


@dataclass(eq=False, slots=True)
class _Waiting:
    payers: Payers
    number: int


class FairSlots:
    """At most `most` run at a time, one per payer. Next is the work whose payers were served longest ago.

    Payers are listed from widest to narrowest, as in (tenant, person): tenants take turns, and within each
    tenant its people do. A payer never has two running pieces of work, even if they name different tenants
    or none.
    """

    def __init__(self, *, most: int, wait_seconds: float, most_waiting: int, busy: str) -> None:
        self.most, self.wait_seconds, self.most_waiting, self.busy = most, wait_seconds, most_waiting, busy
        self._changed = Condition()
        self._waiting: list[_Waiting] = []
        self._running: list[Payers] = []
        self._served: dict[Hashable, int] = {}
        self._number = 0

    @contextmanager
    def taken(self, payers: Payers) -> Iterator[None]:
        """Waits for a slot. Raises AtCapacity if none is free in time, or if the payer's queue is full."""
        self._enter(payers)
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(payers)
                self._changed.notify_all()

    def _enter(self, payers: Payers) -> None:
        with self._changed:
            if sum(one.payers[-1] == payers[-1] for one in self._waiting) >= self.most_waiting:
                raise AtCapacity(self.busy)
            self._number += 1
            mine = _Waiting(payers, self._number)
            self._waiting.append(mine)
            deadline = time.monotonic() + self.wait_seconds
            try:
                while self._next() is not mine:
                    if not self._changed.wait(deadline - time.monotonic()):
                        raise AtCapacity(self.busy)
                self._take(payers)
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()

    def _take(self, payers: Payers) -> None:
        self._running.append(payers)
        if len(self._waiting) == 1:
            self._served.clear()
        for payer in payers:
            self._served[payer] = self._number
            self._number += 1

    def _next(self) -> _Waiting | None:
        if len(self._running) >= self.most:
            return None
        busy = {payer for payers in self._running for payer in payers}
        free = [one for one in self._waiting if busy.isdisjoint(one.payers)]
        return min(free, key=self._rank, default=None)

    def _rank(self, one: _Waiting) -> tuple[int, ...]:
        return (*(self._served.get(payer, 0) for payer in one.payers), one.number)
