"""One value per event loop, for clients and registries that loops must not share."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Creates a loop's value on first use; it lives as long as the loop.

    `close` is called when a loop shuts down cleanly, as in `asyncio.run`: after its last task, while it still
    runs. A server that is stopped by a signal does not get there, and calls `close_values` instead.
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
        """The running loop's value."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            self._values[loop] = self._make()
            if self._close is not None and loop not in self._keepers:
                self._keepers[loop] = keeper = self._keep()
                _start(keeper)
        return self._values[loop]

    def take(self) -> T | None:
        """Removes and returns the running loop's value, to close it; None if it has none."""
        return self._values.pop(asyncio.get_running_loop(), None)

    async def _keep(self) -> AsyncGenerator[None]:
        """Closes the value when the loop shuts down its generators (`shutdown_asyncgens`)."""
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
    """Closes all values of the running loop now."""
    for values in _closed_with_loops:
        await values._close_value()


_closed_with_loops: list[PerLoop[Any]] = []


def _start(keeper: AsyncGenerator[None]) -> None:
    """Runs the generator up to its `yield`; it awaits nothing before that."""
    with suppress(StopIteration):
        keeper.asend(None).send(None)
