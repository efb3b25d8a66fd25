"""Reads a reply on for a moment after its reader has left, because the provider sends its count at the end.

The client does not wait: the turn is closed meanwhile, and the call's hold stays until it is settled. If this
process dies, the hold is written off when its time is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError

from gateway.calls.pump import Pump
from gateway.calls.turn_totals import amend_usage
from gateway.providers.base import ModelEvent
from kit.errors import DomainError
from kit.per_loop import PerLoop
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from quotas.holds import read_on_until

log = structlog.get_logger(__name__)
MOST_CONCURRENT = 64  # in a process; a call beyond them is settled immediately


class LeftCall(Protocol):
    """A call that was sent and whose reader has left."""

    id: UUID
    tenant: TenantRef
    turn_id: UUID

    @property
    def streamed_tokens(self) -> int: ...

    async def read_on(self, pump: Pump, most_bytes: int) -> bool:
        """Counts the rest, at most `most_bytes` more; True if the reply was read to its end."""

    async def take_in(self, batch: Iterable[ModelEvent]) -> object: ...

    async def settle_final(self) -> object: ...

    async def settle_estimate(self) -> None: ...

    async def end_failed(self, error: Exception) -> None: ...


class ReadingOn:
    """The replies that one event loop reads on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    async def take(self, call: LeftCall, pump: Pump) -> bool:
        """Continues the call in the background; False if it has to be settled now."""
        seconds = settings.PROVIDER_READ_ON_SECONDS
        if not seconds or self._is_over or len(self._tasks) >= MOST_CONCURRENT:
            return False
        try:
            is_ours = await in_tenant(
                call.tenant,
                read_on_until,
                call_id=call.id,
                seconds=seconds,
                streamed_tokens=call.streamed_tokens,
            )
        except DatabaseError:
            return False
        if not is_ours or self._is_over:
            return False
        task = asyncio.create_task(_read_on(call, pump))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def settle_all(self) -> None:
        """Settles every call by its streamed output; from now on no call is taken."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _read_on(call: LeftCall, pump: Pump) -> None:
    settle: Callable[[], Awaitable[object]] = call.settle_estimate
    try:
        async with asyncio.timeout(settings.PROVIDER_READ_ON_SECONDS):
            if await call.read_on(pump, settings.PROVIDER_READ_ON_BYTES):
                settle = call.settle_final
    except TimeoutError:
        pass
    except DomainError as exc:  # a provider that refuses this late has done no work
        settle = partial(call.end_failed, exc)
    finally:
        await unbroken(_settle(call, pump, settle))


async def _settle(call: LeftCall, pump: Pump, settle: Callable[[], Awaitable[object]]) -> None:
    try:
        await call.take_in(await pump.close())
        await settle()
        await amend_usage(call.turn_id)
    except Exception:  # the hold is written off when its time is over
        log.exception("a reply that was read on could not be settled", call_id=str(call.id))


_reading = PerLoop(ReadingOn, close=ReadingOn.settle_all)


def reading_on() -> ReadingOn:
    """The instance of the running event loop."""
    return _reading.get()
