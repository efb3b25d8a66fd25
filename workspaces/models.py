"""Gathers the models of every kind, so that Django finds them."""

from workspaces.language_models.models import LanguageModel, ProviderCredential

__all__ = ["LanguageModel", "ProviderCredential"]
