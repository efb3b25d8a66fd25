"""Checks that our egress answers, before a turn begins and while LibreChat is silent.

LibreChat repeats a model call to an unavailable egress for a minute and a half, and sends nothing meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum

import aiohttp
import httpx
from django.conf import settings

from gateway.engines.librechat.stream_parser import Failure, StreamItem
from gateway.errors import EngineUnavailable
from gateway.providers.base import Finish
from gateway.providers.http import client as http_client
from kit.per_loop import PerLoop

PROBE_SECONDS = 2.0  # how long one answer may take
KNOWN_SECONDS = 5.0  # how long an answer is valid; a failure is valid for a fifth of it
MOST_FAILURES = 2  # in a row, of an egress that accepts connections: one slow answer is no outage
SILENT_SECONDS = 5.0  # of the stream, before the egress is probed again
GONE_SECONDS = 10.0  # without an answer in a silent turn: longer than a restart takes
UNCHECKED = "none"
AWAY = "Switchyard's egress is not responding, so no model can be called. Ask the operator to start it."


class Probe(Enum):
    """The outcome of probing an egress."""

    ANSWERED = "answered"
    FAILED = "failed"  # too slow, connection lost, or an error
    REFUSED = "refused"  # nothing listens


async def probe_egress(url: str, seconds: float) -> Probe:
    """Probes the egress at `url` for at most `seconds`; never raises."""
    try:
        response = await http_client().get(f"{url.rstrip('/')}/healthz", timeout=seconds)
    except httpx.HTTPError as problem:
        return Probe.REFUSED if _is_refusal(problem) else Probe.FAILED
    return Probe.ANSWERED if response.status_code == httpx.codes.OK else Probe.FAILED


def _is_refusal(problem: httpx.HTTPError) -> bool:
    """By its cause, since the transport calls every failure to connect a timeout."""
    cause = problem.__cause__
    return isinstance(cause, aiohttp.ClientConnectorError) and isinstance(
        cause.os_error, ConnectionRefusedError
    )


async def egress_answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether an egress answers this process at `url` within `seconds`."""
    return await probe_egress(url, seconds) is Probe.ANSWERED


class EgressWatch:
    """The state of the egress as an event loop knows it; one probe serves all turns for a while."""

    def __init__(self) -> None:
        self._url = ""
        self._is_up = True
        self._failures = 0
        self._known_until = 0.0
        self._probing = asyncio.Lock()

    async def is_up(self) -> bool:
        """False after a refused connection or several failures in a row.

        True also if the egress cannot be probed from this process, by EGRESS_HEALTH_URL=none.
        """
        url = settings.EGRESS_HEALTH_URL or settings.EGRESS_URL
        if url == UNCHECKED:
            return True
        async with self._probing:
            if url != self._url or time.monotonic() >= self._known_until:
                await self._probe(url)
            return self._is_up

    async def _probe(self, url: str) -> None:
        if url != self._url:
            self._url, self._failures = url, 0
        probe = await probe_egress(url, PROBE_SECONDS)
        self._failures = 0 if probe is Probe.ANSWERED else self._failures + 1
        self._is_up = probe is not Probe.REFUSED and self._failures < MOST_FAILURES
        self._known_until = time.monotonic() + KNOWN_SECONDS * (0.2 if self._failures else 1.0)

    async def expect_up(self) -> None:
        if not await self.is_up():
            raise EngineUnavailable(AWAY, part="egress")


async def with_egress(items: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[StreamItem, None]:
    """The items of a turn; EngineUnavailable once both they and the egress have been silent for long."""
    async with aclosing(items):
        pending = asyncio.ensure_future(anext(items, None))
        gone_since = 0.0
        try:
            while True:
                await asyncio.wait({pending}, timeout=SILENT_SECONDS)
                if not pending.done():
                    gone_since = await _gone_since(gone_since)
                    continue
                item, gone_since = pending.result(), 0.0
                if item is None:
                    return
                is_last = isinstance(item, Finish | Failure)
                if not is_last:
                    pending = asyncio.ensure_future(anext(items, None))
                yield item
                if is_last:
                    return
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _gone_since(before: float) -> float:
    """When the egress first failed to answer; 0 while it answers. EngineUnavailable after GONE_SECONDS."""
    now = time.monotonic()
    if await egress_watch().is_up():
        return 0.0
    if before and now - before >= GONE_SECONDS:
        raise EngineUnavailable(AWAY, part="egress")
    return before or now


_watches = PerLoop(EgressWatch)


def egress_watch() -> EgressWatch:
    """The running loop's own."""
    return _watches.get()
