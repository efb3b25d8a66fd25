"""Changes the models of a workspace; each change is audited."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput, NotFound
from quotas.workspace_prices import forget_prices
from workspaces.language_models.credential_services import find_credential, save_credential
from workspaces.language_models.inputs import MOST_MODELS, CredentialInput, ModelChange, ModelInput
from workspaces.language_models.installation import check_kind, install_model, set_fallback
from workspaces.language_models.model_access import Access, Group, checked_access
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.probe import probe, save_tested
from workspaces.language_models.queries import ModelRef, find_model, pick_model, ref_of
from workspaces.language_models.upstream import (
    UPSTREAM_COLUMNS,
    is_moved,
    replace_prices,
    upstream_columns,
    upstream_of,
)
from workspaces.slugs import BUILT_IN_MODELS, MODEL_SLUGS

OWN_COLUMNS = ("name", "enabled", "context_window", "output_bound", "abilities", "parameters", "access")


def add_model(
    *,
    principal: Principal,
    model: ModelInput,
    credential: UUID | CredentialInput,
    is_tested: bool = False,
) -> LanguageModel:
    """Installs a model with an existing credential, or with a new one: both or neither.

    InvalidInput, Conflict, NotFound.
    """
    return save_tested(
        is_tested=is_tested,
        principal=principal,
        save=lambda: save_model(principal, model, credential),
        ref=ref_of,
    )


@transaction.atomic
def save_model(principal: Principal, model: ModelInput, credential: UUID | CredentialInput) -> LanguageModel:
    """Without testing it."""
    MODEL_SLUGS.check(model.slug)
    model.parameters.check()
    if isinstance(credential, CredentialInput):
        credential = save_credential(principal, credential).id
    provider = find_credential(principal=principal, credential_id=credential, is_locked=True)
    if LanguageModel.objects.filter(workspace_id=principal.workspace.id).count() >= MOST_MODELS:
        raise Conflict(f"A workspace can have at most {MOST_MODELS} models.")
    row = install_model(
        credential=provider,
        slug=model.slug,
        upstream_name=model.upstream_name,
        context_window=model.context_window,
        output_bound=model.output_bound,
        kind=model.kind,
        name=model.name,
        abilities=model.abilities,
        parameters=model.parameters.as_data(),
        enabled=model.enabled,
    )
    audit.record(
        "language_model.added",
        principal=principal,
        target=row.slug,
        id=str(row.id),
        provider=provider.kind,
        upstream_name=row.upstream_name,
        kind=row.kind,
        enabled=row.enabled,
    )
    return row


def test_model(*, principal: Principal, slug: str) -> ModelRef:
    """Sends the model a short request. NotFound, and what a Prober raises."""
    model = find_model(workspace_id=principal.workspace.id, slug=slug)
    probe(principal, model)
    return model


def change_model(*, principal: Principal, slug: str, change: ModelChange) -> None:
    """Changes a model. A new upstream is tested first, unless `change.test` is false.

    NotFound; InvalidInput by field.
    """
    before = find_model(workspace_id=principal.workspace.id, slug=slug)
    try:
        save_tested(
            is_tested=change.test and is_moved(before, change),
            principal=principal,
            save=lambda: _change_one(principal, slug, change),
            ref=ref_of,
        )
    except InvalidInput as refused:
        if not (wrong := refused.details.keys() & {"key", "base_url"}):
            raise
        raise InvalidInput(credential_id=refused.details[wrong.pop()]) from refused


@transaction.atomic
def _change_one(principal: Principal, slug: str, change: ModelChange) -> LanguageModel:
    rows = _lock_all(principal)
    row = pick_model(rows, slug)
    _change(principal, rows, row, change)
    return row


@transaction.atomic
def change_models(*, principal: Principal, slugs: Iterable[str], enabled: bool) -> None:
    """Enables or disables all of them, or none. NotFound if one is not installed."""
    rows = _lock_all(principal)
    for row in dict.fromkeys(pick_model(rows, slug) for slug in slugs):
        _change(principal, rows, row, ModelChange(enabled=enabled))


def _change(
    principal: Principal, rows: Sequence[LanguageModel], row: LanguageModel, change: ModelChange
) -> None:
    upstream = upstream_columns(principal, row, change)
    was = upstream_of(row) if upstream else None
    endpoint = str(row.credential or "") if upstream else ""
    columns = OWN_COLUMNS + tuple(name for name in UPSTREAM_COLUMNS if name in upstream)
    changes = audit.change(row, _columns(principal, row, change, upstream), columns, clearable={"credential"})
    check_kind(row)
    if changes:
        row.save(update_fields=list(changes))
    if changes.pop("credential", None):  # by its name, under a key that the audit does not mask
        changes["endpoint"] = [endpoint, str(row.credential or "")]
    if was is not None and was != upstream_of(row) and (deleted := replace_prices(row)):
        changes["own_prices"] = [deleted, 0]
    before = next((other.slug for other in rows if other.id == row.fallback_id), "")
    if change.fallback not in (None, before):
        _set_fallback(row, change.fallback or "")
        changes["fallback"] = [before, change.fallback]
    if changes:
        audit.record(
            "language_model.changed", principal=principal, target=row.slug, id=str(row.id), changes=changes
        )


def _set_fallback(row: LanguageModel, fallback: str) -> None:
    try:
        set_fallback(workspace_id=row.workspace_id, slug=row.slug, fallback=fallback)
    except NotFound as exc:
        raise InvalidInput(fallback=["This workspace has no such model."]) from exc


def _columns(
    principal: Principal, row: LanguageModel, change: ModelChange, upstream: dict[str, Any]
) -> dict[str, Any]:
    """The change as column values; None where a column stays as it is."""
    provider = upstream.get("provider", row.provider)
    window = upstream.get("context_window", row.context_window)
    if provider == LanguageModel.Provider.LOCAL and change.context_window not in {None, window}:
        raise InvalidInput(context_window=["You cannot change the context window of a built-in model."])
    if change.parameters is not None:
        change.parameters.check()
    own = {
        "name": change.name,
        "enabled": change.enabled,
        "context_window": change.context_window,
        "output_bound": change.output_bound,
        "abilities": None if change.abilities is None else sorted(set(change.abilities)),
        "parameters": None if change.parameters is None else change.parameters.as_data(),
        "access": None if change.access is None else _changed_access(principal, row, change.access.groups()),
    }
    return upstream | {name: value for name, value in own.items() if value is not None}


def _changed_access(principal: Principal, row: LanguageModel, groups: dict[str, Group]) -> dict[str, Any]:
    before = Access.from_data(row.access)
    access = checked_access(principal, before.but(groups), before=before)
    return {} if access.is_open else access.as_data()


@transaction.atomic
def remove_model(*, principal: Principal, slug: str) -> None:
    """Deletes the model and its prices, and frees its slug; a turn that uses it ends at its next call."""
    row = pick_model(_lock_all(principal), slug)
    if row.slug in BUILT_IN_MODELS or row.provider == LanguageModel.Provider.LOCAL:
        raise Conflict("You cannot remove a built-in model. Disable it instead.")
    forget_prices(workspace_id=row.workspace_id, model=row.slug)
    removed_id = str(row.id)
    row.delete()
    audit.record("language_model.removed", principal=principal, target=row.slug, id=removed_id)


def _lock_all(principal: Principal) -> Sequence[LanguageModel]:
    """All models of the workspace, in one order: a chain of fallbacks is checked as a whole."""
    rows = LanguageModel.objects.select_for_update().filter(workspace_id=principal.workspace.id)
    return list(rows.order_by("id"))
