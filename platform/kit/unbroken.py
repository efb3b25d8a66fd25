"""Work that runs to its end even if the task waiting for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` to its end, even if the caller is cancelled meanwhile, once or several times.

    The cancellation is raised afterwards. For short work with a time limit of its own.
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
