"""Background work of every process that runs turns: recover lost turns, listen for stop requests."""

import asyncio
import time
from contextlib import suppress

import structlog
from django.conf import settings

from gateway.calls.late_counts import reading_on
from gateway.turns.closing import recover_turns, was_database_away
from gateway.turns.journal import forget_old
from gateway.turns.runner import runner
from gateway.turns.stop import listen_for_notices
from gateway.turns.takeover import take_over_turn
from kit.database_retry import end_patience
from kit.per_loop import PerLoop, close_values
from kit.postgresql.failures import database_failure
from kit.shutdown_state import stopping
from kit.tenancy import in_public

log = structlog.get_logger(__name__)
GOODBYE_SECONDS = 2.0  # for the last frame and close code of each socket


def ensure_started() -> None:
    """Starts it once in an event loop: at startup if the server supports lifespan, else at the first turn."""
    _tasks.get()


def _begin() -> list[asyncio.Task[None]]:
    wanted = asyncio.Event()
    return [
        asyncio.create_task(_recover_forever(wanted)),
        asyncio.create_task(listen_for_notices(wanted.set)),
    ]


async def drain() -> None:
    """Lets running turns continue for GRACE seconds and interrupts the rest; their clients get all events.

    Clients without a turn in this process are told immediately to reconnect elsewhere.
    """
    stopping().begun.set()
    await runner().drain(settings.GRACE)
    await stopping().say_goodbyes(GOODBYE_SECONDS)


async def stop() -> None:
    """Ends everything, after `drain` if the server has not called it."""
    await drain()
    end_patience()
    await reading_on().settle_all()
    tasks = _tasks.take() or []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_values()


async def _recover_forever(wanted: asyncio.Event) -> None:
    """Immediately, then several times per lease, and whenever `wanted` is set."""
    forget_old(time.time())
    while True:
        wanted.clear()
        try:
            only_given_up = await in_public(was_database_away)
            recovered = await recover_turns(take_over_turn, only_given_up=only_given_up)
            if recovered:
                log.info("recovered turns", turns=recovered)
        except Exception as exc:
            if database_failure(exc) is None:
                log.exception("recovery failed")
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.TURN_LEASE_SECONDS / 5):
                await wanted.wait()


_tasks = PerLoop(_begin)
