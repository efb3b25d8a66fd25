"""Waits until a person has allowed or refused a tool call, whichever process they answer in."""

import asyncio
from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from gateway.calls.tool_news import listening, notify_news
from gateway.calls.tool_runs import Caller, expire_runs
from gateway.models import ToolRun
from kit.database_retry import patiently
from kit.tenancy import in_tenant

POLL_SECONDS = 2.0  # a notice may be lost; the row is what counts
State = ToolRun.State


async def wait_for_decision(caller: Caller, run_id: UUID) -> str:
    """`allowed`, `refused` or `expired`."""
    with listening(caller.turn_id) as news:
        while True:
            news.clear()
            state = await patiently(in_tenant, caller.tenant, decision_of, caller, run_id)
            if state != State.WAITING:
                return state
            with suppress(TimeoutError):
                async with asyncio.timeout(min(POLL_SECONDS, settings.APPROVAL_SECONDS)):
                    await news.wait()


def decision_of(caller: Caller, run_id: UUID) -> str:
    """The run's state; one whose time is over expires by being asked for."""
    expire_runs(caller=caller, run_ids=[run_id], only_overdue=True)
    return ToolRun.objects.values_list("state", flat=True).get(id=run_id)


def decide(*, turn_id: UUID, run_id: UUID, state: str, user_id: UUID) -> bool:
    """Answers for a call that still waits; False where nobody does."""
    waiting = ToolRun.objects.filter(
        id=run_id, turn=turn_id, state=State.WAITING, expires_at__gt=timezone.now()
    )
    decided = waiting.update(state=state, decided_by=user_id, decided_at=timezone.now())
    if decided:
        notify_news(turn_id)
    return bool(decided)
