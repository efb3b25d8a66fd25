"""Decides whether a turn may run, and says why: one object, kept with the turn and shown by explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from accounts.errors import RoleTooLow
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.errors import McpNotEnabled, ModelLacksAbility, ModelNotAllowed, ModelNotEnabled
from kit.errors import DomainError, Forbidden, InvalidInput
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef
from workspaces.mcp_servers.oauth.token_store import sign_in_needed
from workspaces.mcp_servers.queries import ServerRef

MOST_TOOLS = 128  # of one model call, at OpenAI and most others


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
    *,
    principal: Principal,
    model_slug: str,
    mcps: tuple[str, ...],
    installed: list[ModelRef],
    servers: Sequence[ServerRef] = (),
    server_slugs: Sequence[str] = (),
    engine_runs_tools: bool = True,
    has_images: bool = False,
) -> Decision:
    """Pure: asks the role, the model, each MCP server, and whether the model can do what is asked of it."""
    enabled = {model.slug: model for model in installed if model.enabled}
    usable = {slug: model for slug, model in enabled.items() if model.may_be_used_by(principal)}
    checks = (
        _check_role(principal),
        _check_model(principal, model_slug, enabled.get(model_slug), sorted(usable)),
        *(_check_mcp(slug, {server.slug: server for server in servers}, server_slugs) for slug in mcps),
        *(_check_tools(usable.get(model_slug), engine_runs_tools) if mcps else ()),
        *_check_number(servers),
        *(_check_images(usable.get(model_slug)) if has_images else ()),
    )
    return Decision(checks=checks, model=usable.get(model_slug))


def _check_role(principal: Principal) -> Check:
    role = principal.workspace_role
    try:
        expect(principal, Action.CHAT)
    except RoleTooLow as refusal:
        return Check("role", f"The {role} role can only read.", refusal)
    except Forbidden as refusal:
        return Check("role", refusal.text, refusal)
    return Check("role", f"The {role} role can chat.")


def _check_model(principal: Principal, slug: str, model: ModelRef | None, usable: list[str]) -> Check:
    """Somebody is told of what they may use themselves, and why they may not use what they asked for."""
    if model is None:
        refusal: DomainError = ModelNotEnabled(model=slug, enabled=usable)
        return Check("model", f"{slug} is not enabled in the workspace.", refusal)
    if reason := model.access.refusal(principal):
        return Check("model", reason, ModelNotAllowed(reason, model=slug, enabled=usable))
    who = "everyone in it" if model.access.is_open else "you"
    return Check("model", f"{slug} is enabled in the workspace, for {who}.")


def _check_mcp(slug: str, wanted: Mapping[str, ServerRef], enabled: Sequence[str]) -> Check:
    server = wanted.get(slug)
    if server is None:
        refusal = McpNotEnabled(mcp=slug, enabled=list(enabled))
        return Check("mcp", f"{slug} is not installed in the workspace, or not enabled.", refusal)
    if server.needs_sign_in:
        needed = sign_in_needed(slug, server.needs_sign_in)
        return Check("mcp", needed.text, needed)
    tools = len(server.tools)
    if not tools:
        return Check("mcp", f"{slug} is enabled in the workspace, but all its tools are denied.")
    return Check("mcp", f"{slug} is enabled in the workspace, with {tools} tool{'s' if tools > 1 else ''}.")


def _check_number(servers: Sequence[ServerRef]) -> tuple[Check, ...]:
    """Providers refuse a call that offers more, in words that nobody would understand."""
    tools = sum(len(server.tools) for server in servers)
    if tools <= MOST_TOOLS:
        return ()
    reason = f"These servers have {tools} tools. A model takes at most {MOST_TOOLS}. Choose fewer servers."
    return (Check("tools", reason, InvalidInput(mcps=[reason])),)


def _check_tools(model: ModelRef | None, engine_runs_tools: bool) -> tuple[Check, ...]:
    """Whether what answers can call tools at all."""
    if model is None:
        return ()
    if not engine_runs_tools:
        reason = "The engine of this conversation does not support tools."
        return (Check("tools", reason, ModelLacksAbility(reason, ability="tools")),)
    if LanguageModel.Ability.TOOLS not in model.abilities:
        reason = f"{model.slug} cannot use tools."
        return (Check("tools", reason, ModelLacksAbility(reason, model=model.slug, ability="tools")),)
    return (Check("tools", f"{model.slug} can use tools."),)


def _check_images(model: ModelRef | None) -> tuple[Check, ...]:
    if model is None:
        return ()
    if LanguageModel.Ability.IMAGES not in model.abilities:
        reason = f"{model.slug} cannot see images."
        return (Check("images", reason, ModelLacksAbility(reason, model=model.slug, ability="images")),)
    return (Check("images", f"{model.slug} can see images."),)
