"""The guard process: ends everything that the supervisor runs once the supervisor is gone.

Lines on its standard input: `watch PID`, `forget PID`, `database FOLDER`, `dismissed`. The end of the
input without `dismissed` means that the supervisor was killed.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from devserver import embedded_postgres

POLL_SECONDS = 0.05


class Watched:
    """What the guard ends: processes, in reverse order of their start, then the database."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._database: Path | None = None
        self.is_dismissed = False

    def apply(self, line: str) -> None:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "watch":
            with suppress(psutil.NoSuchProcess):
                self._processes[int(value)] = psutil.Process(int(value))
        elif word == "forget":
            self._processes.pop(int(value), None)
        elif word == "database":
            self._database = Path(value)
        elif word == "dismissed":
            self.is_dismissed = True

    def end_all(self, seconds: float) -> None:
        """Ends them one by one; each has `seconds` before it is killed."""
        for process in reversed(self._processes.values()):
            _end(process, seconds)
        if self._database:
            embedded_postgres.stop(self._database)


def _end(process: psutil.Process, seconds: float) -> None:
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    deadline = time.monotonic() + seconds
    while _is_alive(process) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # each leads its own process group


def _is_alive(process: psutil.Process) -> bool:
    """False for a zombie: in a container it may never be reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def guard(lines: Iterable[str], lock_fd: int, stop_seconds: float) -> None:
    watched = Watched()
    for line in lines:
        watched.apply(line)
    if watched.is_dismissed:
        return
    os.ftruncate(lock_fd, 0)  # tells the next run that this one is being cleaned up
    with suppress(OSError):
        print("The supervisor was killed; stopping its processes.", flush=True)
    watched.end_all(stop_seconds)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    guard(sys.stdin, int(sys.argv[1]), float(sys.argv[2]))
