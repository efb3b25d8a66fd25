"""Decides whether a turn may run, and says why: one object, kept with the turn and shown by explain."""

from dataclasses import dataclass
from typing import Any, cast

from accounts.policy import Action, expect
from accounts.principals import Principal
from kit.errors import DomainError, Forbidden, McpNotEnabled, ModelNotEnabled, RoleTooLow
from workspaces.language_models.services import ModelRef


@dataclass(frozen=True, slots=True)
class Check:
    """One question that was asked; `refusal` None means that it holds."""

    name: str
    reason: str
    refusal: DomainError | None = None

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"check": self.name, "allowed": self.refusal is None, "reason": self.reason}
        if self.refusal is not None:
            told |= {"code": self.refusal.code, "details": self.refusal.details}
        return told


@dataclass(frozen=True, slots=True)
class Decision:
    """All checks; the model where it may be used."""

    checks: tuple[Check, ...]
    model: ModelRef | None

    @property
    def refusal(self) -> DomainError | None:
        """The first check that failed speaks."""
        return next((check.refusal for check in self.checks if check.refusal), None)

    def admitted_model(self) -> ModelRef:
        """The model to use, or the refusal raised."""
        if self.refusal is not None:
            raise self.refusal
        return cast("ModelRef", self.model)  # there, since the model check passed

    def as_dict(self) -> dict[str, Any]:
        return {"allowed": self.refusal is None, "checks": [check.as_dict() for check in self.checks]}


def decide(
    *, principal: Principal, model_slug: str, mcps: tuple[str, ...], installed: list[ModelRef]
) -> Decision:
    """Pure: asks the role, the model and each MCP server."""
    enabled = {model.slug: model for model in installed if model.enabled}
    checks = (
        _check_role(principal),
        _check_model(model_slug, sorted(enabled)),
        *(_check_mcp(slug) for slug in mcps),
    )
    return Decision(checks=checks, model=enabled.get(model_slug))


def _check_role(principal: Principal) -> Check:
    role = principal.workspace_role
    try:
        expect(principal, Action.CHAT)
    except RoleTooLow as refusal:
        return Check("role", f"A {role} may only read.", refusal)
    except Forbidden as refusal:
        return Check("role", refusal.text, refusal)
    return Check("role", f"A {role} may chat.")


def _check_model(slug: str, enabled: list[str]) -> Check:
    if slug in enabled:
        return Check("model", f"{slug} is enabled in the workspace.")
    return Check(
        "model", f"{slug} is not enabled in the workspace.", ModelNotEnabled(model=slug, enabled=enabled)
    )


def _check_mcp(slug: str) -> Check:
    reason = f"{slug} is not enabled in the workspace."
    return Check("mcp", reason, McpNotEnabled(mcp=slug, enabled=[]))
