"""Stores how much the calls of an event loop have streamed, in one statement every two seconds.

No stream waits for it. The stored amount is charged if this process dies before the call is settled.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import structlog

from kit.per_loop import PerLoop
from kit.postgresql.own_connection import FAILURES
from quotas.leases import note_streams

log = structlog.get_logger(__name__)
NOTE_SECONDS = 2.0


class StreamingCall(Protocol):
    id: UUID

    @property
    def streamed_tokens(self) -> int: ...


class CallNotes:
    """The calls that one event loop streams."""

    def __init__(self) -> None:
        self._calls: dict[UUID, StreamingCall] = {}
        self._noted: dict[UUID, int] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def noting(self, call: StreamingCall) -> Iterator[None]:
        """Includes the call, from when it is sent until it is about to be settled."""
        self._calls[call.id] = call
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._note_forever())
        try:
            yield
        finally:
            del self._calls[call.id]
            self._noted.pop(call.id, None)

    async def _note_forever(self) -> None:
        while self._calls:
            await asyncio.sleep(NOTE_SECONDS)
            await self._note()

    async def _note(self) -> None:
        streamed = {call.id: call.streamed_tokens for call in self._calls.values()}
        news = {call_id: tokens for call_id, tokens in streamed.items() if tokens != self._noted.get(call_id)}
        if not news:
            return
        try:
            await note_streams(news)
        except FAILURES as failure:
            log.warning("streamed amounts were not noted", calls=len(news), error=type(failure).__name__)
            return
        except Exception:  # a bug must not stop the notes of all calls
            log.exception("streamed amounts were not noted", calls=len(news))
            return
        self._noted.update({call_id: tokens for call_id, tokens in news.items() if call_id in self._calls})


_notes = PerLoop(CallNotes)


def call_notes() -> CallNotes:
    """The instance of the running event loop."""
    return _notes.get()
