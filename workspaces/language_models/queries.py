"""Reads the models of a workspace, as plain data that can leave its schema."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from workspaces.language_models.model_access import Access, Person
from workspaces.language_models.models import LanguageModel, ProviderCredential


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address and key of a provider; the key stays encrypted until a call is made."""

    credential_id: UUID
    base_url: str
    sealed_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """An installed model as plain data; windows and bounds are in tokens."""

    id: UUID
    slug: str
    name: str
    provider: str
    upstream_name: str
    context_window: int
    output_bound: int
    enabled: bool
    created_at: datetime
    endpoint: Endpoint | None = None  # None: the built-in model
    abilities: frozenset[str] = frozenset()  # of LanguageModel.Ability
    fallback: str = ""  # the slug of the model that answers when this one's provider fails
    parameters: dict[str, Any] = field(default_factory=dict)  # where a request names none
    access: Access = field(default_factory=Access)
    kind: str = LanguageModel.Kind.CHAT.value

    def may_be_used_by(self, person: Person) -> bool:
        return self.enabled and not self.access.refusal(person)


def installed_models(*, workspace_id: UUID) -> list[ModelRef]:
    """Every model of the workspace, sorted by slug; a workspace has few."""
    rows = LanguageModel.objects.filter(workspace_id=workspace_id).order_by("slug")
    return [ref_of(row) for row in rows.select_related("credential", "fallback")]


class Named(Protocol):
    """A model's row, or a ModelRef."""

    @property
    def id(self) -> UUID: ...
    @property
    def slug(self) -> str: ...


N = TypeVar("N", bound=Named)


def pick_model(models: Iterable[N], slug: str) -> N:
    """By slug or id. NotFound."""
    model = next((row for row in models if slug in (row.slug, str(row.id))), None)
    if model is None:
        raise NotFound
    return model


def find_model(*, workspace_id: UUID, slug: str) -> ModelRef:
    """By slug or id. NotFound for one that the workspace has not installed."""
    return pick_model(installed_models(workspace_id=workspace_id), slug)


def known_models(principal: Principal) -> list[ModelRef]:
    """Models visible to `principal`: all for managers, else usable ones; hidden fallbacks are blanked."""
    rows = installed_models(workspace_id=principal.workspace.id)
    if may(principal, Action.MODELS_CHANGE):
        return rows
    known = [row for row in rows if row.may_be_used_by(principal)]
    slugs = {row.slug for row in known}
    return [row if row.fallback in slugs else replace(row, fallback="") for row in known]


def usable_models(principal: Principal) -> list[ModelRef]:
    """Models of every kind that the principal may use in the workspace."""
    rows = installed_models(workspace_id=principal.workspace.id)
    return [row for row in rows if row.may_be_used_by(principal)]


def chat_models(principal: Principal) -> list[ModelRef]:
    """Chat models that the principal may use in the workspace."""
    return [row for row in usable_models(principal) if row.kind == LanguageModel.Kind.CHAT]


def needed_abilities(*, tools: bool, images: bool) -> frozenset[str]:
    """The abilities that a model needs to answer a request with tools or with images."""
    needed = {LanguageModel.Ability.TOOLS: tools, LanguageModel.Ability.IMAGES: images}
    return frozenset(ability for ability, is_needed in needed.items() if is_needed)


def fallback_chain(
    model: ModelRef, installed: list[ModelRef], person: Person, needed: frozenset[str] = frozenset()
) -> list[ModelRef]:
    """The model, then its fallback models in order, each once.

    Only those that the person may use and that have the `needed` abilities; the model itself is not checked.
    """
    enabled = {candidate.slug: candidate for candidate in installed if candidate.may_be_used_by(person)}
    chain = [model]
    while (following := enabled.pop(chain[-1].fallback, None)) is not None and following not in chain:
        chain.append(following)
    return able_chain(chain, needed)


def able_chain(chain: Sequence[ModelRef], needed: frozenset[str]) -> list[ModelRef]:
    """The first model, then those of its fallback models that have the `needed` abilities."""
    return [chain[0], *(fallback for fallback in chain[1:] if needed <= fallback.abilities)]


def ref_of(row: LanguageModel) -> ModelRef:
    """A row as plain data; it need not be saved."""
    return ModelRef(
        id=row.id,
        slug=row.slug,
        name=row.name,
        provider=row.provider,
        upstream_name=row.upstream_name,
        context_window=row.context_window,
        output_bound=row.output_bound,
        enabled=row.enabled,
        created_at=row.created_at,
        endpoint=_endpoint(row.credential) if row.credential else None,
        abilities=frozenset(row.abilities),
        fallback=row.fallback.slug if row.fallback else "",
        parameters=row.parameters,
        access=Access.from_data(row.access),
        kind=row.kind,
    )


def endpoint_ref(credential: ProviderCredential) -> ModelRef:
    """A credential's provider without a model, to check whether it is reachable."""
    return ref_of(
        LanguageModel(
            workspace_id=credential.workspace_id,
            provider=credential.kind,
            credential=credential,
            context_window=2,
            output_bound=1,
        )
    )


def probe_ref(credential: ProviderCredential) -> ModelRef:
    """A model that uses the credential, to test it with; else its provider alone."""
    row = credential.language_models.order_by("-enabled", "created_at").first()
    if row is None:
        return endpoint_ref(credential)
    row.credential = credential  # with the key to test
    return ref_of(row)


def _endpoint(credential: ProviderCredential) -> Endpoint:
    return Endpoint(
        credential_id=credential.id, base_url=credential.base_url, sealed_key=credential.sealed_key
    )
