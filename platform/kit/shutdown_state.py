"""Whether this process is stopping, and which connections it still has to close."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kit.errors import DomainError
from kit.per_loop import PerLoop

T = TypeVar("T")


class Stopping:
    """The shutdown state of one event loop's server."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._goodbyes: set[asyncio.Task[None]] = set()

    def wait_for(self, goodbye: asyncio.Task[None]) -> None:
        """Makes the shutdown wait for `goodbye`, a task that closes a connection once `begun` is set."""
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)

    async def say_goodbyes(self, seconds: float) -> None:
        """Returns when all these tasks are done, or after `seconds`, as a client may not be reading."""
        if self._goodbyes:
            await asyncio.wait(set(self._goodbyes), timeout=seconds)

    async def unless_begun(self, work: Coroutine[Any, Any, T], refusal: DomainError) -> T:
        """Returns the result of `work`; when the shutdown begins, cancels it and raises `refusal`."""
        begun, pending = asyncio.ensure_future(self.begun.wait()), asyncio.ensure_future(work)
        try:
            await asyncio.wait({begun, pending}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                raise refusal
            return pending.result()
        finally:
            begun.cancel()
            pending.cancel()
            await asyncio.gather(begun, pending, return_exceptions=True)


_stopping = PerLoop(Stopping)


def stopping() -> Stopping:
    """The running loop's state."""
    return _stopping.get()
