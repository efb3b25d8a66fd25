"""What every event loop has one of: clients and registries that must not be shared between loops."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a loop's value on first use and keeps it for as long as the loop lives.

    `close` is given the value of a loop that ends in order, as in `asyncio.run`: after its last task, while
    it still runs. A server that is ended by a signal does not come that far: it says `close_values`.
    """

    def __init__(self, make: Callable[[], T], *, close: Callable[[T], Awaitable[None]] | None = None) -> None:
        self._make = make
        if close is not None:
            _closed_with_loops.append(self)
        self._close = close
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = (
            WeakKeyDictionary()
        )

    def get(self) -> T:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            self._values[loop] = self._make()
            if self._close is not None and loop not in self._keepers:
                self._keepers[loop] = keeper = self._keep()
                _start(keeper)
        return self._values[loop]

    def take(self) -> T | None:
        """The running loop's own, given up by it: for whoever ends it. None where it made none."""
        return self._values.pop(asyncio.get_running_loop(), None)

    async def _keep(self) -> AsyncGenerator[None]:
        """A loop ends the generators that were begun in it (`shutdown_asyncgens`), and this one its value."""
        try:
            yield
        finally:
            self._keepers.pop(asyncio.get_running_loop(), None)
            await self._close_value()

    async def _close_value(self) -> None:
        value = self.take()
        if value is not None and self._close is not None:
            await self._close(value)


async def close_values() -> None:
    """Closes what the running loop has, now."""
    for values in _closed_with_loops:
        await values._close_value()


_closed_with_loops: list[PerLoop[Any]] = []


def _start(keeper: AsyncGenerator[None]) -> None:
    """Runs it up to its `yield`, for which it awaits nothing."""
    with suppress(StopIteration):
        keeper.asend(None).send(None)
