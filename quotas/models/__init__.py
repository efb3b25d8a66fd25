"""The models of quotas, all in the public schema."""

from quotas.models.counters import BudgetWindow
from quotas.models.ledger import UsageDay, UsageRecord
from quotas.models.prices import Price
from quotas.models.rules import Budget, Plan, TenantPlan
from quotas.models.turns import Hold, Reservation

__all__ = [
    "Budget",
    "BudgetWindow",
    "Hold",
    "Plan",
    "Price",
    "Reservation",
    "TenantPlan",
    "UsageDay",
    "UsageRecord",
]
