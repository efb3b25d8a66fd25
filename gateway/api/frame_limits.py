"""Limits the frames of a socket: too many are refused cheaply, and the socket is closed if that continues."""

import time

from kit.errors import RateLimited

MOST_REFUSED = 100  # frames in a row; a client that reads its errors stops long before
TOO_MANY = 4429  # the close code for HTTP's 429


class FrameFlood:
    """A socket's refused frames, remembered so that the next ones cost neither a thread nor a query."""

    def __init__(self) -> None:
        self.refusal: RateLimited | None = None
        self.until = 0.0
        self.refused = 0

    def expect_calm(self) -> None:
        """RateLimited until the end of the minute in which the limit was reached."""
        if self.refusal is not None and time.monotonic() < self.until:
            # A new exception: one that is raised again grows by a traceback each time.
            raise RateLimited(self.refusal.text, **self.refusal.details)

    def note_refusal(self, refusal: RateLimited) -> None:
        self.refused += 1
        if self.refusal is None or time.monotonic() >= self.until:
            self.refusal = refusal
            self.until = time.monotonic() + refusal.details["retry_after"]

    def reset(self) -> None:
        """After a frame within the limit."""
        self.refusal, self.refused = None, 0

    @property
    def is_sustained(self) -> bool:
        return self.refused >= MOST_REFUSED
