"""What every event loop has one of: clients and registries that must not be shared between loops."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a loop's value on first use and keeps it for as long as the loop lives."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            self._values[loop] = self._make()
        return self._values[loop]

    def take(self) -> T | None:
        """The running loop's own, given up by it: for whoever closes it. None where it made none."""
        return self._values.pop(asyncio.get_running_loop(), None)
