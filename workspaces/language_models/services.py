"""What can be done with a workspace's language models."""

from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import seal
from workspaces.language_models.models import LanguageModel, ProviderCredential

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

    slug: str
    name: str
    provider: str
    upstream_name: str
    context_window: int
    output_bound: int
    enabled: bool
    created_at: datetime
    endpoint: Endpoint | None = None  # None: the built-in model
    fallback: str = ""  # the slug of the model that answers when this one's provider fails


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
        raise InvalidInput(base_url=["Give the address of the provider's API, https://…"])
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
        raise Conflict(f"There is a credential called {name} already.") from exc


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
    enabled: bool = False,
) -> LanguageModel:
    """Installs a model of a provider; private until it is enabled. Conflict for a slug that is taken."""
    if not 0 < output_bound < context_window:
        raise InvalidInput(output_bound=["The output has to fit into the context window."])
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
                enabled=enabled,
            )
    except IntegrityError as exc:
        raise Conflict(f"There is a model called {slug} already.") from exc


def set_fallback(*, workspace_id: UUID, slug: str, fallback: str) -> None:
    """Names the model that answers when `slug`'s provider fails; empty: none.

    NotFound for a slug that is not installed, InvalidInput for a chain that would come back to itself.
    """
    models = {row.slug: row for row in LanguageModel.objects.filter(workspace_id=workspace_id)}
    if slug not in models or (fallback and fallback not in models):
        raise NotFound
    by_id = {row.id: row for row in models.values()}
    following, seen = models[fallback] if fallback else None, {slug}
    while following is not None:
        if following.slug in seen:
            raise InvalidInput(fallback=["This chain of fallbacks would come back to itself."])
        seen.add(following.slug)
        following = by_id.get(following.fallback_id) if following.fallback_id else None
    models[slug].fallback = models[fallback] if fallback else None
    models[slug].save(update_fields=["fallback"])


@transaction.atomic
def remove_models(*, workspace_id: UUID) -> None:
    """All of a workspace's, with the keys to their providers."""
    LanguageModel.objects.filter(workspace_id=workspace_id).delete()
    ProviderCredential.objects.filter(workspace_id=workspace_id).delete()


def installed_models(*, workspace_id: UUID) -> list[ModelRef]:
    """Every model of the workspace, by slug; a workspace has few."""
    rows = LanguageModel.objects.filter(workspace_id=workspace_id).order_by("slug")
    return [_ref(row) for row in rows.select_related("credential", "fallback")]


def find_model(*, workspace_id: UUID, slug: str) -> ModelRef:
    """NotFound for one that the workspace has not installed."""
    model = next((row for row in installed_models(workspace_id=workspace_id) if row.slug == slug), None)
    if model is None:
        raise NotFound
    return model


def enabled_models(*, workspace_id: UUID) -> list[ModelRef]:
    return [model for model in installed_models(workspace_id=workspace_id) if model.enabled]


def fallback_chain(model: ModelRef, installed: list[ModelRef]) -> list[ModelRef]:
    """The model, then those that stand in for it, in order; only enabled ones, each once."""
    enabled = {candidate.slug: candidate for candidate in installed if candidate.enabled}
    chain = [model]
    while (following := enabled.pop(chain[-1].fallback, None)) is not None and following not in chain:
        chain.append(following)
    return chain


def _ref(row: LanguageModel) -> ModelRef:
    return ModelRef(
        slug=row.slug,
        name=row.name,
        provider=row.provider,
        upstream_name=row.upstream_name,
        context_window=row.context_window,
        output_bound=row.output_bound,
        enabled=row.enabled,
        created_at=row.created_at,
        endpoint=_endpoint(row.credential) if row.credential else None,
        fallback=row.fallback.slug if row.fallback else "",
    )


def _endpoint(credential: ProviderCredential) -> Endpoint:
    return Endpoint(
        credential_id=credential.id, base_url=credential.base_url, sealed_key=credential.sealed_key
    )
