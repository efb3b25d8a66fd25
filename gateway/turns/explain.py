"""Explains what a wish would meet: the decision with its reasons, the budget among them; runs nothing."""

from typing import Any

from accounts.principals import Principal
from gateway.calls.bounds import planned
from gateway.turns.admission import fit_draft
from gateway.turns.context import Draft, read_draft
from gateway.turns.decision import Check, Decision
from gateway.turns.requests import SendRequest
from kit.errors import DomainError
from kit.tenancy import in_public, in_tenant
from quotas.calls import Payer
from quotas.holds import foresee


async def explain_turn(principal: Principal, wish: SendRequest) -> dict[str, Any]:
    """The decision with its reasons, the budget among them, without running anything."""
    draft = await in_tenant(principal.tenant, read_draft, principal=principal, wish=wish)
    decision = draft.decision
    if decision.refusal is None:
        check = await _check_cost(principal, draft, wish)
        decision = Decision(checks=(*decision.checks, check), model=decision.model)
    return decision.as_dict()


async def _check_cost(principal: Principal, draft: Draft, wish: SendRequest) -> Check:
    try:
        _, bounds = await fit_draft(draft, wish)
    except DomainError as exc:
        return Check("quota", exc.text, exc)
    call = planned(draft.models[0], bounds)
    refusal = await in_public(foresee, Payer.of(principal), call)
    if refusal is None:
        return Check("quota", f"The budget covers the {call.tokens} tokens that this message may use.")
    return Check("quota", refusal.text, refusal)
