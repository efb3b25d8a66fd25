"""Writes models and credentials, without rights and audit: for services, commands and new workspaces."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import seal
from kit.slugs import claim_slug
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.slugs import LOCAL_EMBEDDING_MODEL, LOCAL_MODEL

LOCAL_UPSTREAM = "smollm2-135m"
LOCAL_OUTPUT_BOUND = 512
LOCAL_EMBEDDING_UPSTREAM = "all-minilm-l6-v2"
LOCAL_EMBEDDING_WINDOW = 512  # tokens of one input, the model's number of positions
Kind = ProviderCredential.Kind
BASE_URLS = {Kind.OPENAI: "https://api.openai.com/v1", Kind.ANTHROPIC: "https://api.anthropic.com/v1"}


def install_local_model(*, workspace_id: UUID) -> LanguageModel:
    """Enables the built-in model, so that a new workspace can chat immediately."""
    return LanguageModel.objects.create(
        workspace_id=workspace_id,
        slug=LOCAL_MODEL,
        name="SmolLM2 135M",
        provider=LanguageModel.Provider.LOCAL,
        upstream_name=LOCAL_UPSTREAM,
        context_window=settings.LOCAL_MODEL_CONTEXT,
        output_bound=min(LOCAL_OUTPUT_BOUND, settings.LOCAL_MODEL_CONTEXT // 2),
        enabled=True,
    )


def install_local_embedding_model(*, workspace_id: UUID) -> LanguageModel:
    """Enables the built-in embedding model, which needs no key."""
    return LanguageModel.objects.create(
        workspace_id=workspace_id,
        slug=LOCAL_EMBEDDING_MODEL,
        name="MiniLM L6",
        kind=LanguageModel.Kind.EMBEDDING,
        provider=LanguageModel.Provider.LOCAL,
        upstream_name=LOCAL_EMBEDDING_UPSTREAM,
        context_window=LOCAL_EMBEDDING_WINDOW,
        output_bound=0,
        enabled=True,
    )


def add_credential(
    *, workspace_id: UUID, name: str, kind: str, key: str, base_url: str = ""
) -> ProviderCredential:
    """Stores a key, encrypted. `base_url` ends where OpenAI's own does (`…/v1`); kinds with one public
    address have it as their default.

    InvalidInput; Conflict for a name that is taken. Each call checks whether the address is allowed.
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
    """Replaces the key; the models that use the credential stay as they are."""
    credential.sealed_key = seal(key) if key else ""
    credential.save(update_fields=["sealed_key", "updated_at"])


def install_model(
    *,
    credential: ProviderCredential,
    slug: str,
    upstream_name: str,
    context_window: int,
    output_bound: int = 0,
    kind: str = LanguageModel.Kind.CHAT,
    name: str = "",
    abilities: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    enabled: bool = False,
) -> LanguageModel:
    """Installs a model, private until it is enabled. Conflict for a slug that is taken."""
    row = LanguageModel(
        workspace_id=credential.workspace_id,
        slug=slug,
        name=name or slug,
        kind=kind,
        provider=credential.kind,
        credential=credential,
        upstream_name=upstream_name,
        context_window=context_window,
        output_bound=output_bound,
        abilities=sorted(set(abilities)),
        parameters=parameters or {},
        enabled=enabled,
    )
    check_kind(row)
    with claim_slug(slug):
        row.save(force_insert=True)
    return row


def check_kind(row: LanguageModel) -> None:
    """InvalidInput for fields that a model of its kind cannot have."""
    if row.kind == LanguageModel.Kind.CHAT:
        if not row.output_bound:
            raise InvalidInput(output_bound=["Enter a reply limit of at least 1 token."])
        if row.output_bound >= row.context_window:
            raise InvalidInput(output_bound=["The reply limit must be smaller than the context window."])
        return
    chat_only = {"output_bound": row.output_bound, "abilities": row.abilities, "parameters": row.parameters}
    if wrong := [name for name, value in chat_only.items() if value]:
        text = f"Only chat models have this field. Leave it out for {a_kind(row.kind)} model."
        raise InvalidInput(**{name: [text] for name in wrong})
    if row.provider == LanguageModel.Provider.ANTHROPIC:
        raise InvalidInput(kind=[f"Anthropic has no {row.kind} models."])


def a_kind(kind: str) -> str:
    """The kind with its article, such as `an embedding`, for messages."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


@transaction.atomic
def set_fallback(*, workspace_id: UUID, slug: str, fallback: str) -> None:
    """Sets the model that answers when the provider of `slug` fails; empty: none.

    NotFound for a slug that is not installed. InvalidInput for fallbacks that form a loop, or unless both are
    chat models: vectors of different embedding models cannot be compared.
    """
    locked = LanguageModel.objects.select_for_update().filter(workspace_id=workspace_id).order_by("id")
    models = {row.slug: row for row in locked}  # concurrent changes could form a loop of two chains
    if slug not in models or (fallback and fallback not in models):
        raise NotFound
    if fallback and {models[slug].kind, models[fallback].kind} != {LanguageModel.Kind.CHAT}:
        raise InvalidInput(fallback=["Only chat models can have a fallback, and it must be a chat model."])
    by_id = {row.id: row for row in models.values()}
    following, seen = models[fallback] if fallback else None, {slug}
    while following is not None:
        if following.slug in seen:
            raise InvalidInput(fallback=["These fallback models form a loop."])
        seen.add(following.slug)
        following = by_id.get(following.fallback_id) if following.fallback_id else None
    models[slug].fallback = models[fallback] if fallback else None
    models[slug].save(update_fields=["fallback"])
