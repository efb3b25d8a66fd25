"""Installs models from the catalogue: a provider, some of its models, a key."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.principals import Principal
from kit.errors import InvalidInput
from quotas.workspace_prices import seed_price
from workspaces.language_models.catalogue import CatalogueModel, CatalogueProvider, read_catalogue
from workspaces.language_models.models import LanguageModel, RetiredSlug
from workspaces.language_models.services import (
    add_model,
    create_credential,
    credentials_of,
    find_credential,
)

USUAL_OUTPUT = 16_384  # tokens that a model may write where a request names none


@transaction.atomic
def install_from_catalogue(
    *,
    principal: Principal,
    provider: CatalogueProvider,
    models: list[CatalogueModel],
    key: str = "",
    base_url: str = "",
    credential_id: UUID | None = None,
    enabled: bool = False,
) -> list[LanguageModel]:
    """The chosen models with one credential, a new one or the `credential_id`; with their listed prices.

    A slug that is or was taken gets a number. InvalidInput, Conflict, NotFound.
    """
    if credential_id is None:
        credential_id = create_credential(
            principal=principal,
            name=_free_name(principal, provider.name),
            kind=provider.kind,
            key=key,
            base_url=(base_url if provider.wants_address else "") or provider.base_url,
        ).id
    elif find_credential(place=principal, credential_id=credential_id).kind != provider.kind:
        raise InvalidInput(credential_id=["This credential is for another kind of provider."])
    return [_install_listed(principal, credential_id, model, enabled=enabled) for model in models]


def _install_listed(
    principal: Principal, credential_id: UUID, model: CatalogueModel, *, enabled: bool
) -> LanguageModel:
    row = add_model(
        principal=principal,
        credential_id=credential_id,
        slug=_free_slug(principal, model.slug),
        upstream_name=model.upstream_name,
        name=model.name,
        context_window=model.context_window,
        output_bound=min(model.output_bound, USUAL_OUTPUT),
        abilities=model.abilities,
        parameters=model.parameters,
        enabled=enabled,
    )
    if model.prices and read_catalogue().currency == settings.CURRENCY:
        seed_price(
            workspace_id=row.workspace_id,
            model=row.slug,
            provider=row.provider,
            upstream_name=row.upstream_name,
            **model.prices,
        )
    return row


def _free_slug(principal: Principal, slug: str) -> str:
    here = {"workspace_id": principal.workspace.id, "slug__startswith": slug}
    taken = {
        *LanguageModel.objects.filter(**here).values_list("slug", flat=True),
        *RetiredSlug.objects.filter(**here).values_list("slug", flat=True),
    }
    return next(name for name in _numbered(slug, "-") if name not in taken)


def _free_name(principal: Principal, name: str) -> str:
    taken = set(credentials_of(principal).values_list("name", flat=True))
    return next(free for free in _numbered(name, " ") if free not in taken)


def _numbered(name: str, between: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{between}{number}" for number in count(2))
