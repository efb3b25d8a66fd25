"""Work that must be finished once it has begun, whoever cancels the task that waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end, also when the caller is cancelled meanwhile, once or more often.

    The cancellation is raised afterwards. Meant for short work with a bound of its own.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.cancelled():
                raise
            cancelled = exc
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
