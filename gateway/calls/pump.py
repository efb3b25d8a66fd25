"""Reads a provider's answer in a task of its own: a reader that leaves does not end it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from gateway.providers.base import ModelEvent, ReasoningDelta, TextDelta

MOST_WAITING = 64  # events that are read ahead; while they wait, nothing more is taken from the connection
FEW = 16  # a batch of no more events is passed on as it is


class Pump:
    """Takes events from `events`, which it closes, and hands them over in batches.

    A provider that sends faster than its reader reads waits, and other tasks get their turn after each batch.
    """

    def __init__(self, events: AsyncGenerator[ModelEvent, None]) -> None:
        self._waiting: deque[ModelEvent] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read(events))
        self._task.add_done_callback(lambda _: self._news.set())

    async def next_batch(self) -> list[ModelEvent] | None:
        """The events that have come, at least one; None after the last. Raises what ended the answer."""
        while not self._waiting:
            if self._task.done():
                self._task.result()
                return None
            self._news.clear()
            await self._news.wait()
        batch = list(self._waiting)
        self._waiting.clear()
        self._room.set()
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
                    self._room.clear()
                    await self._room.wait()


def merged(events: Iterable[ModelEvent]) -> Iterator[ModelEvent]:
    """The same events with neighbouring texts as one, where many have come at a time.

    A flood of tiny pieces then costs those who pass them on no more than a few large ones.
    """
    batch = list(events)
    if len(batch) <= FEW:
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
