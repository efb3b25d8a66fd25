"""Stops turns across processes: a column that says so, and a NOTIFY that makes it quick."""

from collections.abc import Callable
from uuid import UUID

from django.utils import timezone

from accounts.principals import Principal
from accounts.revocation import ACCESS_CHANGED
from gateway.calls.channels import TURN_LEFT, TURN_STOP, notify_stop
from gateway.calls.tool_news import TOOL_NEWS, tell_news
from gateway.models import Turn
from gateway.turns.access_watch import access_changed
from gateway.turns.event_stream import visible_turn
from gateway.turns.runner import runner
from kit.errors import Forbidden
from kit.pg_notify import listen


def request_stop(*, principal: Principal, turn_id: UUID) -> str:
    """Marks a turn as stopped and tells every process; returns its status.

    Whose turn it is and whose conversation it is in may stop it: Forbidden for others who see it.
    """
    turn = visible_turn(principal, turn_id)
    owners = {turn.user_id, turn.conversation.user_id if turn.conversation else None}
    if principal.user_id not in owners:
        raise Forbidden("Only the person who asked can stop this reply.")
    if turn.status == Turn.Status.RUNNING:
        Turn.objects.filter(id=turn.id, stop_requested_at=None).update(stop_requested_at=timezone.now())
        notify_stop(turn.id)
    return turn.status


async def listen_for_notices(recover: Callable[[], None]) -> None:
    """Runs for as long as the process does: stops turns, looks at rights, calls `recover` for a turn left.

    Without it both still happen, at the next heartbeat and the next look for lost turns.
    """
    await listen(
        {
            TURN_STOP: lambda told: runner().stop(UUID(told)),
            TOOL_NEWS: tell_news,
            TURN_LEFT: lambda _: recover(),
            ACCESS_CHANGED: access_changed,
        }
    )
