"""Finds the provider that answers a model's calls."""

from gateway.providers.base import Provider
from gateway.providers.local import LocalProvider
from kit.errors import ProviderError
from workspaces.language_models.services import ModelRef


def provider_for(model: ModelRef) -> Provider:
    """ProviderError for a provider that this installation does not know."""
    if model.provider == LocalProvider.name:
        return LocalProvider()
    raise ProviderError("No such provider in this installation.", provider=model.provider)
