"""One run per data folder: two would start and stop the same database."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from devserver.errors import Failure

POLL_SECONDS = 0.2


class RunLock:
    """A file lock that names its holder; the guard shares it until it has cleaned up."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)

    @property
    def fd(self) -> int:
        return self._fd

    def take(
        self, address: str, *, on_wait: Callable[[], None], check: Callable[[], None], seconds: float
    ) -> None:
        """Takes the lock; waits up to `seconds` for a killed run's clean-up, fails if a run is active."""
        deadline = time.monotonic() + seconds
        waiting = False
        while not self._try():
            holder = self._holder()
            if holder or time.monotonic() > deadline:
                raise Failure(f"Switchyard already runs from this folder: {holder or 'it is being stopped'}.")
            if not waiting:
                on_wait()
            waiting = True
            check()
            time.sleep(POLL_SECONDS)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{address} (process {os.getpid()})".encode(), 0)

    def release(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> str:
        """The holder; empty while a guard cleans up, which it needs a moment to start."""
        for _ in range(5):
            holder = os.pread(self._fd, 1000, 0).decode(errors="replace")
            if not holder:
                return ""
            time.sleep(POLL_SECONDS)
        return holder
