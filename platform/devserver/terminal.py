"""Terminal output of `make run`: one line per step, with the children's logs in between."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Terminal:
    """Writes whole lines from any thread; a step's line stays open until the step ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_step = ""

    def line(self, text: str) -> None:
        with self._lock:
            self._close_line()
            self._write(f"{text}\n")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Shows the step, and how long it took when it ends."""
        began = time.monotonic()
        with self._lock:
            self._open_step = text
            self._write(f"{text} … ")
        try:
            yield
        except BaseException:
            with self._lock:
                self._close_line()
            raise
        with self._lock:
            again = "" if self._open_step else f"{text}: "
            self._open_step = ""
            self._write(f"{again}{time.monotonic() - began:.1f} s\n")

    def _close_line(self) -> None:
        if self._open_step:
            self._open_step = ""
            self._write("\n")

    @staticmethod
    def _write(text: str) -> None:
        with suppress(OSError, ValueError):  # a closed terminal must not end the run
            sys.stdout.write(text)
            sys.stdout.flush()
