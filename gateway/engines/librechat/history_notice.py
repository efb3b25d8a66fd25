"""Adds the notice that a reply is based on our own copy of the conversation, once the egress reports it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from django.db import DatabaseError

from gateway.calls.own_branch import was_restored
from gateway.calls.tool_news import listening
from gateway.engines.base import TurnJob
from gateway.engines.events import HISTORY_RESTORED, Event, Replacement
from gateway.engines.librechat.stream_parser import StreamItem
from gateway.providers.base import Notice
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)
TEXT = "LibreChat had lost earlier messages. The reply is based on Switchyard's own copy of them."
NOTICE = Notice(HISTORY_RESTORED, {"text": TEXT})


async def with_notices(
    job: TurnJob, items: AsyncGenerator[StreamItem, None]
) -> AsyncGenerator[StreamItem, None]:
    """The items, with the notice before the first of them that follows from the restored history.

    The database is read when the egress has news, and once at the end, since a notification between processes
    may be lost. A first turn has no history.
    """
    async with aclosing(items):
        if not job.ancestors:
            async for item in items:
                yield item
            return
        is_sent = any(
            isinstance(event, Notice) and event.kind == HISTORY_RESTORED for event in job.reply_so_far
        )
        with listening(job.turn_id) as heard:
            async for item in items:
                if not is_sent and (heard.is_set() or not isinstance(item, Event)):
                    heard.clear()
                    if is_sent := await _was_restored(job):
                        yield NOTICE
                yield item
                if is_sent and isinstance(item, Replacement):
                    yield NOTICE  # it was withdrawn with the rest


async def _was_restored(job: TurnJob) -> bool:
    try:
        return await in_tenant(job.tenant, was_restored, turn_id=job.turn_id)
    except DatabaseError as exc:
        log.warning("restored history could not be read", turn_id=str(job.turn_id), error=str(exc)[:200])
        return False
