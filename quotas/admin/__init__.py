"""The quotas in the admin: plans, budgets, prices, grants and usage."""

from quotas.admin.counters import BudgetWindowAdmin
from quotas.admin.ledger import ReservationAdmin, UsageDayAdmin, UsageRecordAdmin
from quotas.admin.prices import PriceAdmin
from quotas.admin.rules import BudgetAdmin, PlanAdmin, TenantPlanAdmin

__all__ = [
    "BudgetAdmin",
    "BudgetWindowAdmin",
    "PlanAdmin",
    "PriceAdmin",
    "ReservationAdmin",
    "TenantPlanAdmin",
    "UsageDayAdmin",
    "UsageRecordAdmin",
]
