"""The language models that a workspace has installed."""
