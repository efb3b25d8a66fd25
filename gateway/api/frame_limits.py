"""A socket whose client sends more frames than it may: refused cheaply, and closed where that goes on."""

import time

from kit.errors import RateLimited

MOST_REFUSED = 100  # frames in a row; a client that reads its errors stops long before
TOO_MANY = 4429  # the close code that stands for HTTP's 429


class FrameFlood:
    """What a socket remembers of refused frames, so that the next ones cost neither a thread nor a count."""

    def __init__(self) -> None:
        self.refusal: RateLimited | None = None
        self.until = 0.0
        self.refused = 0

    def expect_calm(self) -> None:
        """RateLimited again, as long as the minute lasts in which the limit was reached."""
        if self.refusal is not None and time.monotonic() < self.until:
            # One of its own: an exception that is raised again grows by a traceback each time.
            raise RateLimited(self.refusal.text, **self.refusal.details)

    def note(self, refusal: RateLimited) -> None:
        self.refused += 1
        if self.refusal is None or time.monotonic() >= self.until:
            self.refusal = refusal
            self.until = time.monotonic() + refusal.details["retry_after"]

    def calm(self) -> None:
        """A frame was within the limit."""
        self.refusal, self.refused = None, 0

    @property
    def is_sustained(self) -> bool:
        return self.refused >= MOST_REFUSED
