"""The notice that a reply is based on our own copy of the conversation, sent once the egress says so."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from django.db import DatabaseError

from gateway.calls.own_branch import was_restored
from gateway.calls.tool_news import listening
from gateway.engines.base import HISTORY_RESTORED, Event, TurnJob
from gateway.engines.librechat.stream_parser import REPLACE, Read
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)
TEXT = "LibreChat had lost earlier messages. The reply is based on Switchyard's own copy of them."
NOTICE = Event("notice", {"kind": HISTORY_RESTORED, "text": TEXT})


async def with_notices(job: TurnJob, items: AsyncGenerator[Read, None]) -> AsyncGenerator[Read, None]:
    """The items, with the notice before the first of them that follows from the restored history.

    The database is asked when the egress has news, and once at the end, since a notice between processes may
    be lost. A first turn has no history.
    """
    async with aclosing(items):
        if not job.ancestors:
            async for item in items:
                yield item
            return
        is_told = any(part.get("kind") == HISTORY_RESTORED for part in job.told)
        with listening(job.turn_id) as heard:
            async for item in items:
                if not is_told and (heard.is_set() or not isinstance(item, Event)):
                    heard.clear()
                    if is_told := await _was_restored(job):
                        yield NOTICE
                yield item
                if is_told and isinstance(item, Event) and item.type == REPLACE:
                    yield NOTICE  # it was withdrawn with the rest


async def _was_restored(job: TurnJob) -> bool:
    try:
        return await in_tenant(job.tenant, was_restored, turn_id=job.turn_id)
    except DatabaseError as exc:
        log.warning("restored history was not looked up", turn_id=str(job.turn_id), error=str(exc)[:200])
        return False
