"""Explains the decision about a message with its reasons, including the budget, without running it."""

from typing import Any

from accounts.principals import Principal
from gateway.calls.bounds import planned
from gateway.turns.admission import fit_draft
from gateway.turns.context import Draft, read_draft
from gateway.turns.decision import Condition, Decision
from gateway.turns.requests import SendRequest
from kit.errors import DomainError
from kit.tenancy import in_public, in_tenant
from quotas.holds import foresee
from quotas.planned_calls import Payer


async def explain_turn(principal: Principal, send_request: SendRequest) -> dict[str, Any]:
    """The decision as JSON. Raises as `read_draft` does."""
    draft = await in_tenant(principal.tenant, read_draft, principal=principal, send_request=send_request)
    decision = draft.decision
    if decision.refusal is None:
        budget = await _check_budget(principal, draft, send_request)
        decision = Decision(conditions=(*decision.conditions, budget), model=decision.model)
    return decision.as_dict()


async def _check_budget(principal: Principal, draft: Draft, send_request: SendRequest) -> Condition:
    try:
        _, bounds = await fit_draft(draft, send_request)
    except DomainError as exc:
        return Condition("quota", exc.text, exc)
    call = planned(draft.models[0], bounds)
    refusal = await in_public(foresee, Payer.of(principal), call)
    if refusal is None:
        return Condition("quota", f"The budget covers the {call.tokens} tokens that this message may use.")
    return Condition("quota", refusal.text, refusal)
