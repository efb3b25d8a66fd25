"""What every web process does beside serving: recover lost turns and listen for stops."""

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
from gateway.turns.takeover import adopt_turn
from kit.database_retry import end_patience
from kit.per_loop import PerLoop, close_values
from kit.postgresql.failures import database_failure
from kit.shutdown_state import stopping
from kit.tenancy import in_public

log = structlog.get_logger(__name__)
GOODBYE_SECONDS = 2.0  # for the last frame and close code of each socket


def ensure_started() -> None:
    """Starts once in an event loop: at its start where the server speaks lifespan, else at the first turn."""
    _tasks.get()


def _begin() -> list[asyncio.Task[None]]:
    wanted = asyncio.Event()
    return [
        asyncio.create_task(_recover_forever(wanted)),
        asyncio.create_task(listen_for_notices(wanted.set)),
    ]


async def drain() -> None:
    """Lets running turns go on for GRACE and interrupts the rest; their clients are told all of it.

    Clients without a turn that runs here are told immediately that they may go on elsewhere.
    """
    stopping().begun.set()
    await runner().drain(settings.GRACE)
    await stopping().say_goodbyes(GOODBYE_SECONDS)


async def stop() -> None:
    """Ends everything, after `drain` where the server has not called it."""
    await drain()
    end_patience()
    await reading_on().settle_all()
    tasks = _tasks.take() or []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_values()


async def _recover_forever(wanted: asyncio.Event) -> None:
    """At once, then as often as a lease may run out, and whenever it is wanted."""
    forget_old(time.time())
    while True:
        wanted.clear()
        try:
            only_given_up = await in_public(was_database_away)
            recovered = await recover_turns(adopt_turn, only_given_up=only_given_up)
            if recovered:
                log.info("recovered turns", turns=recovered)
        except Exception as exc:
            if database_failure(exc) is None:
                log.exception("recovery failed")
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.TURN_LEASE_SECONDS / 5):
                await wanted.wait()


_tasks = PerLoop(_begin)
