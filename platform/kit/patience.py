"""Work that a failure of the database must not end: it is tried again until the database answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import structlog

from kit.per_loop import PerLoop
from kit.postgresql.failures import FAILURES

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)
SECONDS = 300.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds

_at_an_end = PerLoop(asyncio.Event)


async def patiently(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, which has to be safe to repeat: a lost connection may have committed it.

    The failure itself after SECONDS, or once the loop ends (`end_patience`).
    """
    now = asyncio.get_running_loop().time
    deadline, pause = now() + SECONDS, FIRST_PAUSE
    while True:
        try:
            return await work(*args, **kwargs)
        except FAILURES as failure:
            if _at_an_end.get().is_set() or now() + pause > deadline:
                raise
            if pause == FIRST_PAUSE:
                log.warning("the database failed; it is tried again", error=type(failure).__name__)
        await _wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def end_patience() -> None:
    """For the end of the running loop: what still waits tries once more and fails."""
    _at_an_end.get().set()


async def _wait(seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await _at_an_end.get().wait()
    except TimeoutError:
        return
