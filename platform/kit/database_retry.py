"""Retries work that a database failure must not end, until the database responds."""

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

_ending = PerLoop(asyncio.Event)


async def patiently(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns the result of `work`, which must be idempotent: a lost connection may have committed it.

    Raises the failure after SECONDS, or once the loop ends (`end_patience`).
    """
    now = asyncio.get_running_loop().time
    deadline, pause = now() + SECONDS, FIRST_PAUSE
    while True:
        try:
            return await work(*args, **kwargs)
        except FAILURES as failure:
            if _ending.get().is_set() or now() + pause > deadline:
                raise
            if pause == FIRST_PAUSE:
                log.warning("database failed, retrying", error=type(failure).__name__)
        await _wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def end_patience() -> None:
    """At the end of the running loop: waiting work tries once more and then fails."""
    _ending.get().set()


async def _wait(seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await _ending.get().wait()
    except TimeoutError:
        return
