"""Installs models from the catalogue: a provider, some of its models, and a key."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

from django.db import transaction

from accounts.principals import Principal
from kit.errors import InvalidInput
from workspaces.language_models.catalogue import CatalogueModel, CatalogueProvider, find_provider
from workspaces.language_models.credential_services import credentials_of, find_credential, save_credential
from workspaces.language_models.inputs import CatalogueInstallation, CredentialInput, ModelInput, Parameters
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.probe import save_tested
from workspaces.language_models.queries import ref_of
from workspaces.language_models.services import save_model
from workspaces.language_models.upstream import seed_listed_price

USUAL_OUTPUT = 16_384  # tokens; the default reply limit of a model that can write more


def install_from_catalogue(*, principal: Principal, chosen: CatalogueInstallation) -> list[LanguageModel]:
    """The chosen models with one credential, new or existing, and with their listed prices.

    The first of them is tested. A slug that is taken gets a number. InvalidInput, Conflict, NotFound.
    """
    return save_tested(
        is_tested=chosen.test,
        principal=principal,
        save=lambda: _install(principal, chosen),
        ref=lambda rows: ref_of(rows[0]),
    )


@transaction.atomic
def _install(principal: Principal, chosen: CatalogueInstallation) -> list[LanguageModel]:
    provider = find_provider(chosen.provider)
    models = provider.chosen(chosen.models)
    credential_id = _credential(principal, provider, chosen)
    return [_install_listed(principal, credential_id, model, enabled=chosen.enabled) for model in models]


def _credential(principal: Principal, provider: CatalogueProvider, chosen: CatalogueInstallation) -> UUID:
    if chosen.credential_id is not None:
        found = find_credential(principal=principal, credential_id=chosen.credential_id)
        if found.kind != provider.kind:
            raise InvalidInput(credential_id=["This credential is for another kind of provider."])
        return found.id
    credential = CredentialInput(
        name=_free_name(principal, provider.name),
        kind=provider.kind,
        key=chosen.key,
        base_url=(chosen.base_url if provider.wants_address else "") or provider.base_url,
    )
    return save_credential(principal, credential).id


def _install_listed(
    principal: Principal, credential_id: UUID, listed: CatalogueModel, *, enabled: bool
) -> LanguageModel:
    model = ModelInput(
        slug=_free_slug(principal, listed.slug),
        upstream_name=listed.upstream_name,
        name=listed.name,
        kind=listed.kind,
        context_window=listed.context_window,
        output_bound=min(listed.output_bound, USUAL_OUTPUT),
        abilities=listed.abilities,
        parameters=Parameters(**listed.parameters),
        enabled=enabled,
    )
    row = save_model(principal, model, credential_id)
    seed_listed_price(row, listed)
    return row


def _free_slug(principal: Principal, slug: str) -> str:
    similar = LanguageModel.objects.filter(workspace_id=principal.workspace.id, slug__istartswith=slug)
    taken = {name.lower() for name in similar.values_list("slug", flat=True)}
    return next(name for name in _numbered(slug, "-") if name.lower() not in taken)


def _free_name(principal: Principal, name: str) -> str:
    taken = set(credentials_of(principal).values_list("name", flat=True))
    return next(free for free in _numbered(name, " ") if free not in taken)


def _numbered(name: str, between: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{between}{number}" for number in count(2))
