"""The pages of usage and budgets."""
