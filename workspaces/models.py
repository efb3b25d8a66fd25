"""Imports the models of every kind, so that Django finds them."""

from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.mcp_servers.models import MCPServer, MCPSignIn, PendingSignIn, Tool
from workspaces.prompts.models import Prompt, PromptFavourite, PromptVersion

__all__ = [
    "LanguageModel",
    "MCPServer",
    "MCPSignIn",
    "PendingSignIn",
    "Prompt",
    "PromptFavourite",
    "PromptVersion",
    "ProviderCredential",
    "Tool",
]
