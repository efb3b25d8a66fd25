"""A clock that tests can stop and move."""

import time
from datetime import UTC, datetime


class StoppedClock:
    """Replaces the module `time`, or Django's `timezone`, in a module that reads the time."""

    def __init__(self) -> None:
        self.moment = time.time()

    def time(self) -> float:
        return self.moment

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.moment, UTC)
