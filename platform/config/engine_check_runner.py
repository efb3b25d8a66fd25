"""Runs the engine check: for `manage.py engine_check`, and at the start in production."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog
from django.conf import settings

from gateway.engines.check_steps import FAILED, OK, Step
from gateway.engines.registry import health_probe, self_check

log = structlog.get_logger(__name__)
PAUSES = (5, 10, 20, 30, 60)  # seconds between attempts at the start: LibreChat may start after us


async def check_engine() -> AsyncGenerator[Step, None]:
    """The steps of the installation's engine as they are taken; none for an engine without a check."""
    if (checked := self_check()) is not None:
        async with aclosing(checked.check()) as steps:
            async for step in steps:
                yield step


def should_check_at_start() -> bool:
    """In production, if the engine is an external program."""
    return not settings.DEVELOPMENT and health_probe() is not None


async def check_at_start(pauses: Sequence[float] = PAUSES) -> None:
    """Logs faults with hints on how to fix them; the web process serves meanwhile, and never stops for it."""
    try:
        await _check_with_patience(pauses)
    except Exception:  # a failing check must not stop the server
        log.exception("The engine could not be checked")


async def _check_with_patience(pauses: Sequence[float]) -> None:
    for pause in (*pauses, None):
        steps = [step async for step in check_engine()]
        if pause is None or not any(step.state == FAILED and step.may_pass for step in steps):
            break
        await asyncio.sleep(pause)
    for step in steps:
        if step.state != OK:
            report = log.error if step.state == FAILED else log.warning
            report("engine check", step=step.name, state=step.state, text=step.text, mend=step.mend)
    if all(step.state == OK for step in steps):
        log.info("engine check", state=OK)
