"""Whether somebody wants the run to end: a signal came, or the parent is gone."""

import signal
from types import FrameType

from devserver.errors import StopRequested
from devserver.parent import Parent


class Wishes:
    """Notes signals instead of raising in the midst of things; `check` raises where it is safe."""

    def __init__(self) -> None:
        self._signals = 0
        self._parent = Parent()
        # nohup ignores SIGHUP: what it starts shall outlive the shell, though not a killed make.
        under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._follows_parent = self._parent.is_make or not under_nohup
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if not under_nohup:
            signal.signal(signal.SIGHUP, self._note)

    @property
    def is_hurried(self) -> bool:
        """A second Ctrl-C: whoever waits gives up waiting."""
        return self._signals > 1

    def check(self) -> None:
        if self._signals or (self._follows_parent and (self._parent.is_gone or self._parent.was_interrupted)):
            raise StopRequested

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self._signals += 1
