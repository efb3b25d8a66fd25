"""The prompts of a workspace: texts with variables, stored in versions."""
