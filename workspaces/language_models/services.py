"""What those who run a workspace do with its models and credentials; each act is audited."""

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import seal
from workspaces.language_models.model_access import Access, checked_access
from workspaces.language_models.models import LanguageModel, ProviderCredential, RetiredSlug
from workspaces.language_models.queries import (
    BASE_URLS,
    LOCAL_SLUG,
    add_credential,
    install_model,
    pick_model,
    set_fallback,
)
from workspaces.slugs import is_like_an_id

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
MOST_MODELS, MOST_CREDENTIALS = 200, 50  # of a workspace
RESERVED = {LOCAL_SLUG, "bulk", "install", "catalogue"}  # routes and pages of ours
EFFORTS = ("none", "minimal", "low", "medium", "high")
CHANGED = ("name", "enabled", "context_window", "output_bound", "abilities", "parameters", "access")
Kind = ProviderCredential.Kind


def credentials_of(place: Principal) -> QuerySet[ProviderCredential]:
    """The workspace's, with how many models use each; never with their keys."""
    rows = ProviderCredential.objects.filter(workspace_id=place.workspace.id)
    return rows.annotate(models_count=Count("language_models")).order_by("name")


def find_credential(*, place: Principal, credential_id: UUID, is_locked: bool = False) -> ProviderCredential:
    """NotFound. Locked for whoever changes or removes it, or installs a model that is to use it."""
    rows = ProviderCredential.objects.filter(workspace_id=place.workspace.id, id=credential_id)
    row = (rows.select_for_update() if is_locked else rows).first()
    if row is None:
        raise NotFound
    return row


@transaction.atomic
def create_credential(
    *, principal: Principal, name: str, kind: str, key: str, base_url: str = ""
) -> ProviderCredential:
    """InvalidInput by field; Conflict for a name that is taken."""
    check_key(kind, key)
    check_url(base_url or BASE_URLS.get(Kind(kind), ""))
    if credentials_of(principal).count() >= MOST_CREDENTIALS:
        raise Conflict(f"A workspace can have at most {MOST_CREDENTIALS} credentials.")
    row = add_credential(
        workspace_id=principal.workspace.id, name=name, kind=kind, key=key, base_url=base_url
    )
    audit.record("provider_credential.added", principal=principal, target=name, kind=kind)
    return row


def check_key(kind: str, key: str) -> None:
    """InvalidInput for what is no key; only a compatible provider may ask for none."""
    is_plain = key.isascii() and key.isprintable() and " " not in key
    if (not key and kind != Kind.COMPATIBLE) or not is_plain:
        raise InvalidInput(key=["A key must be a single line of printable ASCII characters."])


def check_url(url: str) -> None:
    """InvalidInput for what is no address of an API."""
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable()
        _ = parts.port
    except ValueError:
        is_sound = False
    if not is_sound:
        raise InvalidInput(base_url=["Enter the URL of the provider's API, https://…"])
    if parts.username or parts.password:
        raise InvalidInput(base_url=["The URL must not contain a password. Enter it as the API key."])


@transaction.atomic
def change_credential(
    *,
    principal: Principal,
    credential_id: UUID,
    name: str | None = None,
    key: str | None = None,
    base_url: str | None = None,
) -> ProviderCredential:
    """Another name, a new key, another address: the latter only with its key, which must not be sent to where
    its owner never meant it to go."""
    row = find_credential(place=principal, credential_id=credential_id, is_locked=True)
    changes: dict[str, list[Any]] = {}
    if base_url is not None and base_url.rstrip("/") != row.base_url:
        if key is None:
            raise InvalidInput(key=["Enter the key again to use it with a different address."])
        check_url(base_url)
        changes["base_url"] = [row.base_url, base_url.rstrip("/")]
        row.base_url = base_url.rstrip("/")
    if key is not None:
        check_key(row.kind, key)
        row.sealed_key = seal(key) if key else ""
        changes["key"] = ["", ""]
    if name is not None and name != row.name:
        changes["name"] = [row.name, name]
        row.name = name
    try:
        with transaction.atomic():
            row.save(update_fields=["name", "base_url", "sealed_key", "updated_at"])
    except IntegrityError as exc:
        raise Conflict(f"A credential called {name} already exists.") from exc
    audit.record("provider_credential.changed", principal=principal, target=row.name, changes=changes)
    return row


@transaction.atomic
def remove_credential(*, principal: Principal, credential_id: UUID) -> None:
    """Conflict for one that models still use, which are named."""
    row = find_credential(place=principal, credential_id=credential_id, is_locked=True)
    used = list(row.language_models.values_list("slug", flat=True)[:20])
    if used:
        raise Conflict(f"{row.name} is used by {', '.join(used)}.", models=used)
    row.delete()
    audit.record("provider_credential.removed", principal=principal, target=row.name)


@transaction.atomic
def add_model(
    *, principal: Principal, credential_id: UUID, slug: str, upstream_name: str, **fields: Any
) -> LanguageModel:
    """Installs a model of one of the workspace's credentials. InvalidInput, Conflict, NotFound."""
    if not SLUG.fullmatch(slug) or slug in RESERVED:
        raise InvalidInput(slug=["Use up to 60 lowercase letters, digits, dots, hyphens and underscores."])
    if is_like_an_id(slug):
        raise InvalidInput(slug=["This looks like an ID. Choose another name."])
    check_parameters(fields.get("parameters") or {})
    credential = find_credential(place=principal, credential_id=credential_id, is_locked=True)
    if LanguageModel.objects.filter(workspace_id=principal.workspace.id).count() >= MOST_MODELS:
        raise Conflict(f"A workspace can have at most {MOST_MODELS} models.")
    row = install_model(credential=credential, slug=slug, upstream_name=upstream_name, **fields)
    audit.record(
        "language_model.added",
        principal=principal,
        target=slug,
        provider=credential.kind,
        upstream_name=upstream_name,
        enabled=row.enabled,
    )
    return row


@transaction.atomic
def change_model(*, principal: Principal, slug: str, **wanted: Any) -> None:
    """Whatever is named of name, enabled, context_window, output_bound, abilities, parameters, access (groups
    of `allow` and `deny`; the one that is not named stays), fallback.

    NotFound, InvalidInput.
    """
    rows = _lock_all(principal)
    _change(principal, rows, pick_model(rows, slug), wanted)


@transaction.atomic
def change_models(*, principal: Principal, slugs: Iterable[str], enabled: bool) -> None:
    """Enables or disables all of them, or none. NotFound where one is not installed."""
    rows = _lock_all(principal)
    for row in dict.fromkeys(pick_model(rows, slug) for slug in slugs):
        _change(principal, rows, row, {"enabled": enabled})


def _change(
    principal: Principal, rows: Sequence[LanguageModel], row: LanguageModel, wanted: dict[str, Any]
) -> None:
    changes = audit.change(row, _checked(principal, row, wanted), CHANGED)
    if not 0 < row.output_bound < row.context_window:
        raise InvalidInput(output_bound=["The reply limit must be smaller than the context window."])
    if changes:
        row.save(update_fields=list(changes))
    before = next((other.slug for other in rows if other.id == row.fallback_id), "")
    if wanted.get("fallback") is not None and wanted["fallback"] != before:
        try:
            set_fallback(workspace_id=row.workspace_id, slug=row.slug, fallback=wanted["fallback"])
        except NotFound as exc:
            raise InvalidInput(fallback=["This workspace has no such model."]) from exc
        changes["fallback"] = [before, wanted["fallback"]]
    if changes:
        audit.record("language_model.changed", principal=principal, target=row.slug, changes=changes)


def _checked(principal: Principal, row: LanguageModel, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is wanted, as its columns hold it."""
    plain = dict(wanted)
    window = wanted.get("context_window")
    if row.provider == LanguageModel.Provider.LOCAL and window not in {None, row.context_window}:
        raise InvalidInput(context_window=["You cannot change the context window of the built-in model."])
    if wanted.get("abilities") is not None:
        plain["abilities"] = sorted(set(wanted["abilities"]))
    if wanted.get("parameters") is not None:
        check_parameters(wanted["parameters"])
    if wanted.get("access") is not None:
        before = Access.from_data(row.access)
        access = checked_access(principal, before.but(wanted["access"]), before=before)
        plain["access"] = {} if access.is_open else access.as_data()
    return plain


@transaction.atomic
def remove_model(*, principal: Principal, slug: str) -> None:
    """For good: a turn that uses it ends at its next call, those it stood in for have nobody."""
    row = pick_model(_lock_all(principal), slug)
    if row.provider == LanguageModel.Provider.LOCAL:
        raise Conflict("You cannot remove the built-in model. Disable it instead.")
    RetiredSlug.objects.create(workspace_id=row.workspace_id, slug=row.slug)
    row.delete()
    audit.record("language_model.removed", principal=principal, target=row.slug)


def _lock_all(principal: Principal) -> Sequence[LanguageModel]:
    """All of the workspace's, in one order: chains of fallbacks are judged as a whole."""
    rows = LanguageModel.objects.select_for_update().filter(workspace_id=principal.workspace.id)
    return list(rows.order_by("id"))


def check_parameters(parameters: dict[str, Any]) -> None:
    """InvalidInput for what no request could ask for either."""
    wrong: list[str] = []
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = parameters.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value <= most):
            wrong.append(f"{name} must be a number between 0 and {most}.")
    if parameters.get("reasoning_effort") not in (None, *EFFORTS):
        wrong.append(f"reasoning_effort must be one of: {', '.join(EFFORTS)}.")
    if unknown := sorted(set(parameters) - {"temperature", "top_p", "reasoning_effort"}):
        wrong.append(f"Unknown parameter: {unknown[0][:60]!r}.")
    if wrong:
        raise InvalidInput(parameters=wrong)
