"""The prompts of a workspace: texts with variables, kept in versions."""
