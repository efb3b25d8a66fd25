"""Waits until a person has allowed or refused a tool call, whichever process they answer in."""

import asyncio
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from gateway.models import ToolRun
from kit.notices import notify
from kit.per_loop import PerLoop
from kit.tenancy import TenantRef, in_tenant

TOOL_DECIDED = "switchyard_tool_decided"  # payload: the id of the tool run
POLL_SECONDS = 2.0  # a notice may be lost; the row is what counts
State = ToolRun.State

_waiting: PerLoop[dict[UUID, asyncio.Event]] = PerLoop(dict)


async def wait_for_decision(tenant: TenantRef, run_id: UUID) -> str:
    """`allowed`, `refused` or `expired`."""
    news = _waiting.get().setdefault(run_id, asyncio.Event())
    try:
        while True:
            state = await in_tenant(tenant, decision_of, run_id)
            if state != State.WAITING:
                return state
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), min(POLL_SECONDS, settings.APPROVAL_SECONDS))
            except TimeoutError:
                continue
    finally:
        _waiting.get().pop(run_id, None)


def decision_of(run_id: UUID) -> str:
    """The run's state; one whose time is over expires by being asked for."""
    overdue = Q(id=run_id, state=State.WAITING, expires_at__lte=timezone.now())
    ToolRun.objects.filter(overdue).update(state=State.EXPIRED)
    return ToolRun.objects.values_list("state", flat=True).get(id=run_id)


def decide(*, run_id: UUID, state: str, user_id: UUID) -> bool:
    """Answers for a call that still waits; False where nobody does."""
    waiting = ToolRun.objects.filter(id=run_id, state=State.WAITING, expires_at__gt=timezone.now())
    decided = waiting.update(state=state, decided_by=user_id, decided_at=timezone.now())
    if decided:
        notify(TOOL_DECIDED, str(run_id))
    return bool(decided)


def tell_decided(told: str) -> None:
    """What another process has noted."""
    news = _waiting.get().get(UUID(told))
    if news is not None:
        news.set()
