"""Gathers the models of every kind, so that Django finds them."""

from workspaces.language_models.models import LanguageModel

__all__ = ["LanguageModel"]
