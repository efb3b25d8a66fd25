"""REST for budgets and usage."""
