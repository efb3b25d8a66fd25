"""Creates budgets and settled calls for tests."""

from typing import Any
from uuid import UUID, uuid4

from accounts.tests.cast import Person
from quotas.hold_states import mark_sent, settle_call
from quotas.holds import hold_call
from quotas.models import Budget, Hold, UsageRecord
from quotas.planned_calls import Payer, PlannedCall
from quotas.prices import Usage
from quotas.reservations import close_turn, open_turn


def limit_to(person: Person, limit: int, **rule: Any) -> Budget:
    """An operator's budget; by default for the person's workspace, in tokens per month."""
    named = {
        "tenant_id": person.principal.tenant.id,
        "set_by": "operator",
        "level": "workspace",
        "workspace_id": None if "level" in rule else person.principal.workspace.id,
        "member_id": None,
        "api_key_id": None,
        "metric": "tokens",
        "window": "month",
        **rule,
    }
    return Budget.objects.update_or_create(**named, defaults={"limit": limit})[0]


def planned_call(prompt: int, output: int, model: str = "local", **named: str) -> PlannedCall:
    what = {"provider": "local", "upstream_name": "smollm2-135m", **named}
    return PlannedCall(model=model, prompt_bound=prompt, output_bound=output, **what)


def store_usage(person: Person, *, tokens: int = 30, flag: str = "", **named: str) -> UsageRecord:
    """One settled call of a closed turn."""
    turn_id, call_id = uuid4(), uuid4()
    call = planned_call(tokens, 1, **named)
    open_turn(
        turn_id=turn_id,
        payer=Payer.of(person.principal),
        call=call,
        purpose="chat",
        engine="direct",
        lease_seconds=60,
    )
    settled(turn_id, call_id, call, Usage(tokens, 0, flag=flag))
    close_turn(turn_id=turn_id)
    return UsageRecord.objects.get(turn_id=turn_id)


def settled(turn_id: UUID, call_id: UUID, call: PlannedCall, usage: Usage) -> None:
    hold_call(turn_id=turn_id, call_id=call_id, call=call)
    mark_sent(call_id=call_id)
    settle_call(call_id=call_id, usage=usage)


def note_streamed(*, call_id: UUID, streamed_tokens: int) -> None:
    """Does the same as `quotas.leases.note_streams` in the test's own transaction."""
    Hold.objects.filter(call_id=call_id, state=Hold.State.SENT).update(streamed_tokens=streamed_tokens)
