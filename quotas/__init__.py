"""Limits and usage: budgets, reservations, holds and the ledger."""
