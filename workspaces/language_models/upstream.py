"""Moves a model to another provider, credential or model ID; its slug and id stay the same."""

from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.principals import Principal
from kit.errors import InvalidInput, NotFound
from kit.fields import UNCHANGED
from quotas.workspace_prices import forget_prices, seed_price
from workspaces.language_models.catalogue import CatalogueModel, listed_model, read_catalogue
from workspaces.language_models.credential_services import find_credential
from workspaces.language_models.inputs import ModelChange
from workspaces.language_models.installation import LOCAL_OUTPUT_BOUND, LOCAL_UPSTREAM
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.language_models.queries import ModelRef
from workspaces.slugs import LOCAL_EMBEDDING_MODEL, LOCAL_MODEL

LOCAL = LanguageModel.Provider.LOCAL
UPSTREAM_COLUMNS = ("provider", "credential", "upstream_name")
Upstream = tuple[str, str, str]


def is_moved(model: ModelRef, change: ModelChange) -> bool:
    """Whether the change would send calls to another model or with another credential."""
    before = model.endpoint.credential_id if model.endpoint else None
    is_elsewhere = change.credential_id is not UNCHANGED and change.credential_id != before
    return is_elsewhere or change.upstream_name not in (None, model.upstream_name)


def upstream_columns(principal: Principal, row: LanguageModel, change: ModelChange) -> dict[str, Any]:
    """The new values of UPSTREAM_COLUMNS, and of the columns that a move to the built-in model resets.

    Empty if the change has neither a credential nor an upstream name. InvalidInput for one of these two.
    """
    if change.credential_id is UNCHANGED:
        if row.provider == LOCAL and change.upstream_name not in (None, row.upstream_name):
            raise InvalidInput(upstream_name=["You cannot change the model ID of a built-in model."])
        return {"upstream_name": change.upstream_name} if change.upstream_name is not None else {}
    if change.credential_id is None:
        return _built_in_columns(row, change)
    if row.slug == LOCAL_EMBEDDING_MODEL:
        problem = "You cannot move the built-in embedding model. Install another model instead."
        raise InvalidInput(credential_id=[problem])
    credential = _credential(principal, change.credential_id)
    if row.provider == LOCAL and change.upstream_name is None:
        raise InvalidInput(upstream_name=["Enter the model's ID at the new provider."])
    return {
        "provider": credential.kind,
        "credential": credential,
        "upstream_name": change.upstream_name,
    }


def _credential(principal: Principal, credential_id: UUID) -> ProviderCredential:
    try:
        return find_credential(principal=principal, credential_id=credential_id, is_locked=True)
    except NotFound as exc:
        raise InvalidInput(credential_id=["This workspace has no such credential."]) from exc


def _built_in_columns(row: LanguageModel, change: ModelChange) -> dict[str, Any]:
    """Only the model called `local` can be the built-in one, so a workspace never has two."""
    if row.slug == LOCAL_EMBEDDING_MODEL and row.provider == LOCAL:
        return {}
    if row.slug != LOCAL_MODEL:
        raise InvalidInput(credential_id=[f"Only the model {LOCAL_MODEL} works without a credential."])
    if change.upstream_name not in (None, LOCAL_UPSTREAM):
        raise InvalidInput(upstream_name=[f"The model ID of the built-in model is always {LOCAL_UPSTREAM}."])
    if row.provider == LOCAL:
        return {}
    window = settings.LOCAL_MODEL_CONTEXT
    return {
        "provider": LOCAL.value,
        "credential": None,
        "upstream_name": LOCAL_UPSTREAM,
        "context_window": window,
        "output_bound": min(row.output_bound, LOCAL_OUTPUT_BOUND, window // 2),
        "abilities": [],
    }


def upstream_of(row: LanguageModel) -> Upstream:
    """The provider, its URL and its name for the model: a price is for these three."""
    return row.provider, row.credential.base_url if row.credential else "", row.upstream_name


def replace_prices(row: LanguageModel) -> int:
    """Deletes the model's own prices, which were for the old upstream, and sets the new one's listed price.

    Returns how many were deleted. Past usage keeps its cost.
    """
    deleted = forget_prices(workspace_id=row.workspace_id, model=row.slug)
    listed = listed_model(*upstream_of(row))
    if listed is not None:
        seed_listed_price(row, listed)
    return deleted


def seed_listed_price(row: LanguageModel, listed: CatalogueModel) -> None:
    """Sets the catalogue's price if it is in this installation's currency and no other price is known."""
    if listed.prices and read_catalogue().currency == settings.CURRENCY:
        seed_price(
            workspace_id=row.workspace_id,
            model=row.slug,
            provider=row.provider,
            upstream_name=row.upstream_name,
            **listed.prices,
        )
