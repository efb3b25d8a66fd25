"""The supervisor's parent process: whether it is gone, or was interrupted without passing that on."""

import os
import signal
from pathlib import Path

NOT_PASSED_ON = (signal.SIGINT, signal.SIGHUP)


class Parent:
    """A shell, a service manager or make."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self.is_make = "MAKELEVEL" in os.environ
        self._caught = self._caught_signals()

    @property
    def is_gone(self) -> bool:
        return os.getppid() != self._pid

    @property
    def was_interrupted(self) -> bool:
        """Whether only make got a SIGINT (`kill -INT`) or a SIGHUP (the end of an `ssh -t host make run`).

        make passes on SIGTERM but not these: it resets its handler and waits for us forever.
        """
        return self.is_make and self._caught != self._caught_signals()

    def _caught_signals(self) -> set[signal.Signals]:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:  # there is no /proc on macOS
            return set()
        line = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
        mask = int(line.split()[1], 16)
        return {number for number in NOT_PASSED_ON if mask & 1 << (number - 1)}
