"""Wakes whoever follows a turn's tool calls, in any process: one waits for a person, or was answered."""

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
    """Set whenever there is news of the turn; a notice may be lost, so whoever waits looks now and then."""
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


def tell_news(told: str) -> None:
    """What another process, or this one, has noted."""
    for news in _listeners.get().get(UUID(told), ()):
        news.set()
