"""How often a dead process is restarted, and after which pause."""

import time
from collections import defaultdict, deque

MOST = 5  # restarts of one process within WINDOW_SECONDS; beyond that the fault is permanent
WINDOW_SECONDS = 300.0
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)  # before the first restart in the window, the second …


class Restarts:
    """Counts restarts by name. Call `is_due` until it returns True, which counts as one restart."""

    def __init__(self) -> None:
        self._made: defaultdict[str, deque[float]] = defaultdict(deque)
        self._died: dict[str, float] = {}

    def are_used_up(self, name: str) -> bool:
        made, now = self._made[name], time.monotonic()
        while made and now - made[0] > WINDOW_SECONDS:
            made.popleft()
        return len(made) >= MOST

    def is_due(self, name: str) -> bool:
        """Whether the pause since the process was first seen dead is over."""
        now = time.monotonic()
        died = self._died.setdefault(name, now)
        if now - died < PAUSES[len(self._made[name])]:
            return False
        del self._died[name]
        self._made[name].append(now)
        return True
