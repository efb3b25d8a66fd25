"""Whether our egress answers: asked before a turn begins, and while LibreChat is silent.

LibreChat repeats a model call to an egress that is away for a minute and a half, and says nothing meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx
from django.conf import settings

from gateway.engines.base import Event
from gateway.engines.librechat.reading import Read
from gateway.providers.http import client as http_client
from kit.errors import EngineUnavailable
from kit.per_loop import PerLoop

PROBE_SECONDS = 2.0  # how long one answer may take
KNOWN_SECONDS = 5.0  # how long an answer counts; a failure counts for a fifth of it
SILENT_SECONDS = 5.0  # of the stream, before the egress is asked again
GONE_SECONDS = 10.0  # without an answer in a silent turn: longer than a restart takes
UNCHECKED = "none"
AWAY = "Switchyard's egress does not answer, so no model can be called. Ask the operator to start it."


async def egress_answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether an egress answers at `url` within so many seconds, as far as it can be seen from here."""
    try:
        response = await http_client().get(f"{url.rstrip('/')}/healthz", timeout=seconds)
    except httpx.HTTPError:
        return False
    return response.status_code == httpx.codes.OK


class EgressWatch:
    """What an event loop knows of the egress; one asks, and the answer counts for all turns for a while."""

    def __init__(self) -> None:
        self._url = ""
        self._is_up = True
        self._known_until = 0.0
        self._asking = asyncio.Lock()

    async def is_up(self) -> bool:
        """True too where the egress cannot be asked from here, by EGRESS_HEALTH_URL=none."""
        url = settings.EGRESS_HEALTH_URL or settings.EGRESS_URL
        if url == UNCHECKED:
            return True
        async with self._asking:
            if url != self._url or time.monotonic() >= self._known_until:
                self._url, self._is_up = url, await egress_answers(url)
                self._known_until = time.monotonic() + KNOWN_SECONDS * (1.0 if self._is_up else 0.2)
            return self._is_up

    async def expect_up(self) -> None:
        if not await self.is_up():
            raise EngineUnavailable(AWAY, part="egress")


async def with_egress(items: AsyncGenerator[Read, None]) -> AsyncGenerator[Read, None]:
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
                if isinstance(item, Event):
                    pending = asyncio.ensure_future(anext(items, None))
                yield item
                if not isinstance(item, Event):
                    return
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _gone_since(before: float) -> float:
    """When the egress was first seen away; 0 while it answers. EngineUnavailable after GONE_SECONDS."""
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
