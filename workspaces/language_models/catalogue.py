"""The catalogue of real models and their providers, read from `catalogue.json` with its date and sources."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kit.errors import NotFound
from workspaces.language_models.models import LanguageModel

FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model as its provider describes it: limits in tokens, prices in millionths per million tokens."""

    provider: str
    upstream_name: str
    slug: str
    name: str
    context_window: int  # tokens; for an embedding model, of one input
    output_bound: int = 0  # the provider's own limit
    abilities: list[str] = field(default_factory=list)
    kind: str = LanguageModel.Kind.CHAT.value
    prices: dict[str, int] = field(default_factory=dict)  # input, cached_input, output; empty: unknown
    parameters: dict[str, Any] = field(default_factory=dict)  # that its abilities need


@dataclass(frozen=True, slots=True)
class CatalogueProvider:
    """A provider; the address of a self-hosted one is only its usual address."""

    slug: str
    name: str
    kind: str
    base_url: str
    asks_for_key: bool
    about: str
    docs: str
    key_hint: str = ""
    keys_url: str = ""
    is_self_hosted: bool = False
    models: tuple[CatalogueModel, ...] = ()

    @property
    def wants_address(self) -> bool:
        return self.is_self_hosted or not self.base_url

    def chosen(self, slugs: list[str]) -> list[CatalogueModel]:
        """The models of these slugs, in the catalogue's order. NotFound if one is missing."""
        if set(slugs) - {model.slug for model in self.models}:
            raise NotFound
        return [model for model in self.models if model.slug in slugs]


@dataclass(frozen=True, slots=True)
class Catalogue:
    dated: str
    currency: str
    sources: list[dict[str, str]]
    providers: tuple[CatalogueProvider, ...]


@cache
def read_catalogue() -> Catalogue:
    data = json.loads(FILE.read_text())
    models = [CatalogueModel(**row) for row in data["models"]]
    providers = tuple(
        CatalogueProvider(**row, models=tuple(model for model in models if model.provider == row["slug"]))
        for row in data["providers"]
    )
    return Catalogue(data["dated"], data["currency"], data["sources"], providers)


def listed_model(kind: str, base_url: str, upstream_name: str) -> CatalogueModel | None:
    """The model of this name at the provider with this kind and URL; None if it is not listed."""
    providers = (row for row in read_catalogue().providers if (row.kind, row.base_url) == (kind, base_url))
    models = (model for provider in providers for model in provider.models)
    return next((model for model in models if model.upstream_name == upstream_name), None)


def find_provider(slug: str) -> CatalogueProvider:
    """NotFound."""
    found = next((row for row in read_catalogue().providers if row.slug == slug), None)
    if found is None:
        raise NotFound
    return found
