"""Wakes tasks that follow a turn's tool calls, in any process, when one needs approval or was answered."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from kit.per_loop import PerLoop
from kit.pg_notify import notify

TOOL_NEWS = "switchyard_tool_news"  # payload: the id of the turn

_listeners: PerLoop[defaultdict[UUID, set[asyncio.Event]]] = PerLoop(lambda: defaultdict(set))


@contextmanager
def listening(turn_id: UUID) -> Iterator[asyncio.Event]:
    """Set on each notification about the turn; one may be lost, so a waiting task also polls."""
    news, known = asyncio.Event(), _listeners.get()
    known[turn_id].add(news)
    try:
        yield news
    finally:
        known[turn_id].discard(news)
        if not known[turn_id]:
            del known[turn_id]


def notify_news(turn_id: UUID) -> None:
    """Sent when the surrounding transaction commits."""
    notify(TOOL_NEWS, str(turn_id))


def wake_listeners(payload: str) -> None:
    """Handles a notification from any process, including this one."""
    for news in _listeners.get().get(UUID(payload), ()):
        news.set()
