"""Decides whether a turn may run, and why: one object, stored with the turn and returned by explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from accounts.errors import RoleTooLow
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.errors import McpNotEnabled, ModelLacksAbility, ModelNotAllowed, ModelNotEnabled
from kit.errors import DomainError, Forbidden, InvalidInput
from workspaces.language_models.installation import a_kind
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef
from workspaces.mcp_servers.oauth.token_store import sign_in_needed
from workspaces.mcp_servers.queries import ServerRef

MOST_NAMED = 10  # models that a refusal offers instead
ROUTES = {
    LanguageModel.Kind.CHAT.value: "chats and POST /v1/chat/completions",
    LanguageModel.Kind.EMBEDDING.value: "POST /v1/embeddings",
    LanguageModel.Kind.MODERATION.value: "POST /v1/moderations",
}
MOST_TOOLS = 128  # of one model call, at OpenAI and most others


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the decision; `refusal` None means that it holds."""

    name: str
    reason: str
    refusal: DomainError | None = None

    def as_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {"check": self.name, "allowed": self.refusal is None, "reason": self.reason}
        if self.refusal is not None:
            data |= {"code": self.refusal.code, "details": self.refusal.details}
        return data


@dataclass(frozen=True, slots=True)
class Decision:
    """All conditions; the model if it may be used."""

    conditions: tuple[Condition, ...]
    model: ModelRef | None

    @property
    def refusal(self) -> DomainError | None:
        """That of the first condition that does not hold."""
        return next((condition.refusal for condition in self.conditions if condition.refusal), None)

    def admitted_model(self) -> ModelRef:
        """The model to use. Raises the refusal."""
        if self.refusal is not None:
            raise self.refusal
        return cast("ModelRef", self.model)  # not None, since its condition holds

    def as_dict(self) -> dict[str, Any]:
        return {
            "allowed": self.refusal is None,
            "checks": [condition.as_dict() for condition in self.conditions],
        }


@dataclass(frozen=True, slots=True)
class RequestedServers:
    """The MCP servers that a turn asks for."""

    slugs: tuple[str, ...] = ()
    enabled: tuple[ServerRef, ...] = ()  # those of the slugs that are enabled in the workspace
    alternatives: tuple[str, ...] = ()  # all enabled slugs, if one of the requested is not


NO_SERVERS = RequestedServers()


def decide(
    *,
    principal: Principal,
    model_slug: str,
    installed: list[ModelRef],
    servers: RequestedServers = NO_SERVERS,
    engine_runs_tools: bool = True,
    has_images: bool = False,
    kind: str = LanguageModel.Kind.CHAT,
) -> Decision:
    """Pure: checks the role, the model and its kind, each MCP server, and the abilities that are needed."""
    enabled = {model.slug: model for model in installed if model.enabled}
    usable = {slug: model for slug, model in enabled.items() if model.may_be_used_by(principal)}
    conditions = (
        _check_role(principal),
        _check_model(principal, model_slug, enabled.get(model_slug), _of_kind(usable, kind)),
        *_check_kind(usable.get(model_slug), kind, _of_kind(usable, kind)),
        *_check_mcps(servers),
        *(_check_tools(usable.get(model_slug), engine_runs_tools) if servers.slugs else ()),
        *_check_number(servers.enabled),
        *(_check_images(usable.get(model_slug)) if has_images else ()),
    )
    return Decision(conditions=conditions, model=usable.get(model_slug))


def _check_role(principal: Principal) -> Condition:
    role = principal.workspace_role
    try:
        expect(principal, Action.CHAT)
    except RoleTooLow as refusal:
        return Condition("role", f"The {role} role can only read.", refusal)
    except Forbidden as refusal:
        return Condition("role", refusal.text, refusal)
    return Condition("role", f"The {role} role can chat.")


def _check_model(principal: Principal, slug: str, model: ModelRef | None, usable: list[str]) -> Condition:
    """A refusal names only models that the principal may use."""
    if model is None:
        reason = f"{slug} is not enabled in the workspace."
        refusal: DomainError = ModelNotEnabled(reason, model=slug, enabled=usable)
        return Condition("model", reason, refusal)
    if reason := model.access.refusal(principal):
        return Condition("model", reason, ModelNotAllowed(reason, model=slug, enabled=usable))
    who = "everyone in it" if model.access.is_open else "you"
    return Condition("model", f"{slug} is enabled in the workspace, for {who}.")


def _of_kind(models: Mapping[str, ModelRef], kind: str) -> list[str]:
    return sorted(slug for slug, model in models.items() if model.kind == kind)


def _check_kind(model: ModelRef | None, kind: str, alternatives: Sequence[str]) -> tuple[Condition, ...]:
    """Fails for a model of another kind, with where it is called and which models this route takes."""
    if model is None or model.kind == kind:
        return ()
    others = f" Available: {', '.join(alternatives[:MOST_NAMED])}." if alternatives else ""
    reason = f"{model.slug} is {a_kind(model.kind)} model: use it with {ROUTES[model.kind]}."
    others = f" This needs {a_kind(kind)} model.{others}"
    return (Condition("kind", reason, InvalidInput(model=[reason + others])),)


def _check_mcps(servers: RequestedServers) -> tuple[Condition, ...]:
    by_slug = {server.slug: server for server in servers.enabled}
    return tuple(_check_mcp(slug, by_slug.get(slug), servers.alternatives) for slug in servers.slugs)


def _check_mcp(slug: str, server: ServerRef | None, alternatives: Sequence[str]) -> Condition:
    if server is None:
        refusal = McpNotEnabled(mcp=slug, enabled=list(alternatives))
        return Condition("mcp", f"{slug} is not installed in the workspace, or not enabled.", refusal)
    if server.needs_sign_in:
        needed = sign_in_needed(slug, server.needs_sign_in)
        return Condition("mcp", needed.text, needed)
    tools = len(server.tools)
    if not tools:
        return Condition("mcp", f"{slug} is enabled in the workspace, but all its tools are denied.")
    return Condition(
        "mcp", f"{slug} is enabled in the workspace, with {tools} tool{'s' if tools > 1 else ''}."
    )


def _check_number(servers: Sequence[ServerRef]) -> tuple[Condition, ...]:
    """Providers refuse a call that offers more, with obscure messages."""
    tools = sum(len(server.tools) for server in servers)
    if tools <= MOST_TOOLS:
        return ()
    reason = f"These servers have {tools} tools. A model takes at most {MOST_TOOLS}. Choose fewer servers."
    return (Condition("tools", reason, InvalidInput(mcps=[reason])),)


def _check_tools(model: ModelRef | None, engine_runs_tools: bool) -> tuple[Condition, ...]:
    """Whether the engine and the model can use tools."""
    if model is None:
        return ()
    if not engine_runs_tools:
        reason = "The engine of this conversation does not support tools."
        return (Condition("tools", reason, ModelLacksAbility(reason, ability="tools")),)
    if LanguageModel.Ability.TOOLS not in model.abilities:
        reason = f"{model.slug} cannot use tools."
        return (Condition("tools", reason, ModelLacksAbility(reason, model=model.slug, ability="tools")),)
    return (Condition("tools", f"{model.slug} can use tools."),)


def _check_images(model: ModelRef | None) -> tuple[Condition, ...]:
    if model is None:
        return ()
    if LanguageModel.Ability.IMAGES not in model.abilities:
        reason = f"{model.slug} cannot see images."
        return (Condition("images", reason, ModelLacksAbility(reason, model=model.slug, ability="images")),)
    return (Condition("images", f"{model.slug} can see images."),)
