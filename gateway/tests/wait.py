"""Waits for a condition that another thread or process fulfils, with a deadline."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Returns as soon as `holds()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.02)
