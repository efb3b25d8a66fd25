"""Runs the jobs, and resumes by itself after a database outage."""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from procrastinate.contrib.django import app

from kit.postgresql.outage import outage

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds between two attempts to reach the database
STEADY_SECONDS = 60.0  # after running this long, a worker starts with short pauses again
FINISH_SECONDS = 15.0  # for running jobs at a stop; jobs that are cut off run again later
log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Runs jobs (mail, clean-up, engine updates) until it is stopped. Any number of workers may run."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_work())


async def _work() -> None:
    """Starts one worker after another: procrastinate's worker ends when it loses the database."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pause, now = FIRST_PAUSE, asyncio.get_running_loop().time
    while not stop.is_set():
        began = now()
        await _run_until(stop)
        if stop.is_set():
            return
        pause = FIRST_PAUSE if now() - began > STEADY_SECONDS else pause
        log.warning("worker lost the database, restarting", pause=pause)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
        pause = min(pause * 2, LONGEST_PAUSE)


async def _run_until(stop: asyncio.Event) -> None:
    """Returns when the worker has ended, at a stop or because of an outage."""
    worker, stopped = asyncio.create_task(_run_worker()), asyncio.create_task(stop.wait())
    await asyncio.wait({worker, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    worker.cancel()  # it finishes its running jobs
    (outcome,) = await asyncio.gather(worker, return_exceptions=True)
    if isinstance(outcome, Exception):
        outage.suspect()  # protects other processes' turns until they can renew their leases
        log.warning("worker ended", error=type(outcome).__name__, reason=str(outcome)[:300])


async def _run_worker() -> None:
    with app.replace_connector(app.connector.get_worker_connector()) as working:  # type: ignore[attr-defined]
        async with working.open_async():
            await working.run_worker_async(
                install_signal_handlers=False, shutdown_graceful_timeout=FINISH_SECONDS
            )
