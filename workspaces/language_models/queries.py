"""What can be done with a workspace's language models."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import seal
from workspaces.language_models.model_access import Access, Person
from workspaces.language_models.models import LanguageModel, ProviderCredential, RetiredSlug

LOCAL_SLUG = "local"
LOCAL_UPSTREAM = "smollm2-135m"
LOCAL_OUTPUT_BOUND = 512
Kind = ProviderCredential.Kind
BASE_URLS = {Kind.OPENAI: "https://api.openai.com/v1", Kind.ANTHROPIC: "https://api.anthropic.com/v1"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider is reached, and with which key; the key stays sealed until a call is made."""

    credential_id: UUID
    base_url: str
    sealed_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """An installed model as plain data; windows and bounds are tokens."""

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

    def may_be_used_by(self, person: Person) -> bool:
        return self.enabled and not self.access.refusal(person)


def install_local_model(*, workspace_id: UUID) -> LanguageModel:
    """Enables the built-in model, so that a new workspace can chat at once."""
    return LanguageModel.objects.create(
        workspace_id=workspace_id,
        slug=LOCAL_SLUG,
        name="SmolLM2 135M",
        provider=LanguageModel.Provider.LOCAL,
        upstream_name=LOCAL_UPSTREAM,
        context_window=settings.LOCAL_MODEL_CONTEXT,
        output_bound=min(LOCAL_OUTPUT_BOUND, settings.LOCAL_MODEL_CONTEXT // 2),
        enabled=True,
    )


def add_credential(
    *, workspace_id: UUID, name: str, kind: str, key: str, base_url: str = ""
) -> ProviderCredential:
    """Keeps a key, sealed. `base_url` ends where OpenAI's own does (`…/v1`); the kinds that have one public
    address know it.

    InvalidInput, Conflict for a name that is taken. Whether the address may be reached is asked at each call.
    """
    base_url = (base_url or BASE_URLS.get(Kind(kind), "")).strip().rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"}:
        raise InvalidInput(base_url=["Enter the URL of the provider's API, https://…"])
    try:
        with transaction.atomic():
            return ProviderCredential.objects.create(
                workspace_id=workspace_id,
                name=name,
                kind=kind,
                base_url=base_url,
                sealed_key=seal(key) if key else "",
            )
    except IntegrityError as exc:
        raise Conflict(f"A credential called {name} already exists.") from exc


def change_key(*, credential: ProviderCredential, key: str) -> None:
    """A new key; the models that use the credential are not touched."""
    credential.sealed_key = seal(key) if key else ""
    credential.save(update_fields=["sealed_key", "updated_at"])


def install_model(
    *,
    credential: ProviderCredential,
    slug: str,
    upstream_name: str,
    context_window: int,
    output_bound: int,
    name: str = "",
    abilities: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    enabled: bool = False,
) -> LanguageModel:
    """Installs a model, private until it is enabled. Conflict for a slug that is or was taken."""
    if RetiredSlug.objects.filter(workspace_id=credential.workspace_id, slug=slug).exists():
        raise Conflict(f"The name {slug} was already used. Choose another name.", slug=slug)
    if not 0 < output_bound < context_window:
        raise InvalidInput(output_bound=["The reply limit must be smaller than the context window."])
    try:
        with transaction.atomic():
            return LanguageModel.objects.create(
                workspace_id=credential.workspace_id,
                slug=slug,
                name=name or slug,
                provider=credential.kind,
                credential=credential,
                upstream_name=upstream_name,
                context_window=context_window,
                output_bound=output_bound,
                abilities=sorted(set(abilities)),
                parameters=parameters or {},
                enabled=enabled,
            )
    except IntegrityError as exc:
        raise Conflict(f"A model called {slug} already exists.") from exc


@transaction.atomic
def set_fallback(*, workspace_id: UUID, slug: str, fallback: str) -> None:
    """Names the model that answers when `slug`'s provider fails; empty: none.

    NotFound for a slug that is not installed, InvalidInput for a chain that would come back to itself.
    """
    locked = LanguageModel.objects.select_for_update().filter(workspace_id=workspace_id).order_by("id")
    models = {row.slug: row for row in locked}  # two changes at once could make a circle of two chains
    if slug not in models or (fallback and fallback not in models):
        raise NotFound
    by_id = {row.id: row for row in models.values()}
    following, seen = models[fallback] if fallback else None, {slug}
    while following is not None:
        if following.slug in seen:
            raise InvalidInput(fallback=["These fallback models form a loop."])
        seen.add(following.slug)
        following = by_id.get(following.fallback_id) if following.fallback_id else None
    models[slug].fallback = models[fallback] if fallback else None
    models[slug].save(update_fields=["fallback"])


@transaction.atomic
def remove_models(*, workspace_id: UUID) -> None:
    """All of a workspace's, with the keys to their providers."""
    LanguageModel.objects.filter(workspace_id=workspace_id).delete()
    RetiredSlug.objects.filter(workspace_id=workspace_id).delete()
    ProviderCredential.objects.filter(workspace_id=workspace_id).delete()


def installed_models(*, workspace_id: UUID) -> list[ModelRef]:
    """Every model of the workspace, by slug; a workspace has few."""
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


def known_models(place: Principal) -> list[ModelRef]:
    """Those that somebody may know of, and stand-ins only among them: all for who may change them, to others
    those that they may use."""
    rows = installed_models(workspace_id=place.workspace.id)
    if may(place, Action.MODELS_CHANGE):
        return rows
    known = [row for row in rows if row.may_be_used_by(place)]
    slugs = {row.slug for row in known}
    return [row if row.fallback in slugs else replace(row, fallback="") for row in known]


def usable_models(place: Principal) -> list[ModelRef]:
    """Those that somebody may use where they are."""
    return [row for row in installed_models(workspace_id=place.workspace.id) if row.may_be_used_by(place)]


def needed_abilities(*, tools: bool, images: bool) -> frozenset[str]:
    """What a model has to be able to do to answer a request with tools, or with images."""
    needed = {LanguageModel.Ability.TOOLS: tools, LanguageModel.Ability.IMAGES: images}
    return frozenset(ability for ability, is_needed in needed.items() if is_needed)


def fallback_chain(
    model: ModelRef, installed: list[ModelRef], person: Person, needed: frozenset[str] = frozenset()
) -> list[ModelRef]:
    """The model, then those that stand in for it, in order, each once.

    Only what the person may use and what has the `needed` abilities; the model itself is judged elsewhere.
    """
    enabled = {candidate.slug: candidate for candidate in installed if candidate.may_be_used_by(person)}
    chain = [model]
    while (following := enabled.pop(chain[-1].fallback, None)) is not None and following not in chain:
        chain.append(following)
    return [model, *(stand_in for stand_in in chain[1:] if needed <= stand_in.abilities)]


def ref_of(row: LanguageModel) -> ModelRef:
    """As plain data; also of one that is not saved."""
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
    )


def endpoint_ref(credential: ProviderCredential) -> ModelRef:
    """A credential's provider without any model, for whoever wants to know whether it is there."""
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
    """What shows best whether a credential works: a model that uses it, else its provider alone."""
    row = credential.language_models.order_by("-enabled", "created_at").first()
    if row is None:
        return endpoint_ref(credential)
    row.credential = credential  # with the key that is to be tried
    return ref_of(row)


def _endpoint(credential: ProviderCredential) -> Endpoint:
    return Endpoint(
        credential_id=credential.id, base_url=credential.base_url, sealed_key=credential.sealed_key
    )
