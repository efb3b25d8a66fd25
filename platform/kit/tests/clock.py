"""A clock that tests stop and move."""

import time


class StoppedClock:
    """Stands in for the module `time` in a module that asks it for the moment."""

    def __init__(self) -> None:
        self.moment = time.time()

    def time(self) -> float:
        return self.moment
