"""A person's answer to a tool call that waits for it: once, always in this workspace, or no."""

from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.audit import services as audit
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.calls.approvals import decide
from gateway.calls.tool_runs import Caller, audit_call, target_of
from gateway.errors import ApprovalDecided
from gateway.models import ToolRun, Turn
from gateway.turns.event_stream import visible_turn
from kit.errors import Forbidden, NotFound
from workspaces.mcp_servers.tool_rules import change_tool

ALLOW, ALWAYS, REFUSE = "allow", "always", "refuse"
DECISIONS = (ALLOW, ALWAYS, REFUSE)


@transaction.atomic
def answer_approval(*, principal: Principal, turn_id: UUID, approval_id: UUID, decision: str) -> str:
    """The state that the call is in now. ApprovalDecided where nobody waits any more.

    Whose turn it is answers; that nobody is asked again is for those to say who may change the server.
    """
    turn = visible_turn(principal, turn_id)
    run = ToolRun.objects.filter(id=approval_id, turn=turn).first()
    if run is None:
        raise NotFound
    if turn.user_id != principal.user_id:
        raise Forbidden("Only the person who asked can allow this call.")
    expect(principal, Action.CHAT)
    if decision == ALWAYS:
        expect(principal, Action.MCPS_CHANGE)
    state = ToolRun.State.REFUSED if decision == REFUSE else ToolRun.State.ALLOWED
    is_running = turn.status == Turn.Status.RUNNING
    if not is_running or not decide(turn_id=turn.id, run_id=run.id, state=state, user_id=principal.user_id):
        raise ApprovalDecided
    if decision == ALWAYS:
        change_tool(principal=principal, slug=run.server, tool=run.tool, needs_approval=False)
    audit.record("tool.answered", principal=principal, target=target_of(run), decision=decision)
    if state == ToolRun.State.REFUSED:  # with that the call has ended
        caller = Caller(principal.tenant, turn.workspace_id, turn.user_id, turn.id)
        audit_call(caller, target_of(run), outcome=state)
    return state


def told_approval(state: str) -> dict[str, Any]:
    return {"decision": str(state)}
