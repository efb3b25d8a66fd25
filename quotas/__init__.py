"""How much: budgets, reservations, holds and the ledger."""
