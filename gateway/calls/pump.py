"""Reads a provider's reply in its own task, which outlives a reader that leaves."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from gateway.providers.base import ModelEvent, ReasoningDelta, TextDelta

MOST_WAITING = 64  # events that are read ahead; then reading from the connection pauses
SMALL_BATCH = 16  # events; a batch of no more is passed on unchanged


class Pump:
    """Reads `events`, which it closes, and passes them on in batches.

    A provider that is faster than the reader has to wait, and other tasks can run after each batch.
    """

    def __init__(self, events: AsyncGenerator[ModelEvent, None]) -> None:
        self._waiting: deque[ModelEvent] = deque()
        self._news, self._has_capacity = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read(events))
        self._task.add_done_callback(lambda _: self._news.set())

    async def next_batch(self) -> list[ModelEvent] | None:
        """The waiting events, at least one; None after the last. Raises the error that ended the reply."""
        while not self._waiting:
            if self._task.done():
                self._task.result()
                return None
            self._news.clear()
            await self._news.wait()
        batch = list(self._waiting)
        self._waiting.clear()
        self._has_capacity.set()
        return batch

    async def close(self) -> list[ModelEvent]:
        """Cancels the call upstream, unless it has ended; returns the events that were not read."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return list(self._waiting)

    async def _read(self, events: AsyncGenerator[ModelEvent, None]) -> None:
        async with aclosing(events):
            async for event in events:
                self._waiting.append(event)
                self._news.set()
                if len(self._waiting) >= MOST_WAITING:
                    self._has_capacity.clear()
                    await self._has_capacity.wait()


def merged(events: Iterable[ModelEvent]) -> Iterator[ModelEvent]:
    """The same events, with adjacent texts joined if the batch is large.

    Many tiny pieces then cost later stages no more than a few large ones.
    """
    batch = list(events)
    if len(batch) <= SMALL_BATCH:
        yield from batch
        return
    kind: type[TextDelta] | type[ReasoningDelta] | None = None
    texts: list[str] = []
    for event in batch:
        if kind is not None and type(event) is not kind:
            yield kind("".join(texts))
            kind, texts = None, []
        if isinstance(event, TextDelta | ReasoningDelta):
            kind = type(event)
            texts.append(event.text)
        else:
            yield event
    if kind is not None:
        yield kind("".join(texts))
