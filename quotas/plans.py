"""Plans: named sets of budgets that operators give to tenants."""

from django.conf import settings
from django.db import transaction

from accounts.models import Tenant
from quotas.counter_backfill import seed_counters
from quotas.models import Budget, Plan, TenantPlan

FIRST_PLAN = "Standard"
SOFT_PERCENT = 80


def default_plan() -> Plan:
    """The plan that new tenants get; created with a first budget if there is none."""
    plan = Plan.objects.filter(is_default=True).first()
    if plan is not None:
        return plan
    with transaction.atomic():
        plan, is_new = Plan.objects.get_or_create(name=FIRST_PLAN, defaults={"is_default": True})
        if is_new:
            Budget.objects.create(
                plan=plan,
                set_by=Budget.SetBy.OPERATOR,
                level=Budget.Level.WORKSPACE,
                limit=settings.WORKSPACE_TOKENS_PER_MONTH,
                soft_percent=SOFT_PERCENT,
            )
    return plan


def give_plan(*, tenant: Tenant, plan: Plan) -> None:
    """From now on the plan's budgets apply to the tenant, in addition to its own."""
    with transaction.atomic():
        TenantPlan.objects.update_or_create(tenant=tenant, defaults={"plan": plan})
        for budget in plan.budgets.all():
            seed_counters(tenant, budget)
