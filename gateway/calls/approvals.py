"""Waits until a person has allowed or refused a tool call, in whichever process they answer."""

import asyncio
from contextlib import suppress
from uuid import UUID

from django.conf import settings

from gateway.calls.tool_news import listening, notify_news
from gateway.calls.tool_run_states import answer_run
from gateway.calls.tool_runs import Caller, expire_runs
from gateway.models import ToolRun
from kit.database_retry import patiently
from kit.tenancy import in_tenant

POLL_SECONDS = 2.0  # a notification may be lost: the row decides
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
    """The run's state, after expiring it if its time is over."""
    expire_runs(caller=caller, run_ids=[run_id], only_overdue=True)
    return ToolRun.objects.values_list("state", flat=True).get(id=run_id)


def decide(*, turn_id: UUID, run_id: UUID, state: str, user_id: UUID) -> bool:
    """Stores a person's answer and wakes the waiting call; False if the call no longer waits."""
    is_decided = answer_run(turn_id=turn_id, run_id=run_id, state=state, user_id=user_id)
    if is_decided:
        notify_news(turn_id)
    return is_decided
