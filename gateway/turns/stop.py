"""Stops turns across processes: a column records the request, and a NOTIFY makes it fast."""

from collections.abc import Callable
from uuid import UUID

from accounts.principals import Principal
from accounts.revocation import ACCESS_CHANGED
from gateway.calls.channels import TURN_LEFT, TURN_STOP, notify_stop
from gateway.calls.tool_news import TOOL_NEWS, wake_listeners
from gateway.models import Turn
from gateway.turns.access_watch import access_changed
from gateway.turns.event_stream import visible_turn
from gateway.turns.runner import runner
from kit.errors import Forbidden
from kit.pg_notify import listen


def request_stop(*, principal: Principal, turn_id: UUID) -> str:
    """Requests the stop and notifies every process; returns the turn's status.

    The turn's author and the conversation's owner may stop it: Forbidden for others who can see it.
    """
    turn = visible_turn(principal, turn_id)
    owners = {turn.user_id, turn.conversation.user_id if turn.conversation else None}
    if principal.user_id not in owners:
        raise Forbidden("Only the person who asked can stop this reply.")
    if turn.is_running:
        Turn.objects.filter(id=turn.id).request_stop()
        notify_stop(turn.id)
    return turn.status


async def listen_for_notices(recover: Callable[[], None]) -> None:
    """Listens as long as the process runs: stops turns, rechecks access, calls `recover` for a turn left.

    Without it the same happens later: at the next heartbeat and the next search for lost turns.
    """
    await listen(
        {
            TURN_STOP: lambda payload: runner().stop(UUID(payload)),
            TOOL_NEWS: wake_listeners,
            TURN_LEFT: lambda _: recover(),
            ACCESS_CHANGED: access_changed,
        }
    )
