"""Requests to stop the run: a signal, or the end of the parent process."""

import signal
from types import FrameType

from devserver.errors import StopRequested
from devserver.parent import Parent


class StopSignal:
    """Records signals instead of raising anywhere; `check` raises where it is safe."""

    def __init__(self) -> None:
        self._signals = 0
        self._parent = Parent()
        # nohup ignores SIGHUP: its processes outlive the shell, but should not outlive a killed make.
        under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._follows_parent = self._parent.is_make or not under_nohup
        signal.signal(signal.SIGINT, self._record)
        signal.signal(signal.SIGTERM, self._record)
        if not under_nohup:
            signal.signal(signal.SIGHUP, self._record)

    @property
    def is_hurried(self) -> bool:
        """After a second Ctrl-C: stop waiting."""
        return self._signals > 1

    def check(self) -> None:
        if self._signals or (self._follows_parent and (self._parent.is_gone or self._parent.was_interrupted)):
            raise StopRequested

    def _record(self, _signal: int, _frame: FrameType | None) -> None:
        self._signals += 1
