"""Plans, the tenants that have them, and operators' budgets for a tenant; each applies immediately."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin
from accounts.models import Tenant
from kit.errors import InvalidInput
from quotas.budgets import Rule, check_rule
from quotas.counter_backfill import seed_counters
from quotas.models import Budget, Plan, TenantPlan

TAKEN = "This budget already exists. Change its limit instead."


class RuleForm(forms.ModelForm):
    """Shows the errors of a rule at its fields."""

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        if not {"level", "metric", "window", "limit"} <= sent.keys():
            return sent
        named = {name: sent[name].pk for name in ("workspace", "member") if sent.get(name)}
        rule = Rule(
            level=sent["level"],
            metric=sent["metric"],
            window=sent["window"],
            limit=sent["limit"],
            soft_percent=sent.get("soft_percent"),
            workspace_id=named.get("workspace"),
            member_id=named.get("member"),
        )
        try:
            check_rule(rule)
        except InvalidInput as wrong:
            for name, texts in wrong.details.items():
                self.add_error(name if name in self.fields else None, texts)
        workspace, tenant = sent.get("workspace"), sent.get("tenant")
        if workspace and tenant and workspace.tenant_id != tenant.pk:
            self.add_error("workspace", "This workspace belongs to another tenant.")
        return sent


class RuleFormSet(BaseInlineFormSet):
    """The budgets of a plan: at most one per rule, including those added together."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            sent = getattr(form, "cleaned_data", {})
            if not sent or sent.get("DELETE"):
                continue
            rule = tuple(sent.get(name) for name in ("level", "metric", "window"))
            if rule in seen:
                form.add_error(None, TAKEN)
            seen.add(rule)


class TenantRuleForm(RuleForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tenant" in self.fields:  # it is read-only in an existing budget
            self.fields["tenant"].required = True

    def clean(self) -> dict[str, Any]:
        """Django skips the database constraint, since it has columns that the form lacks."""
        sent = super().clean()
        if self.instance._state.adding and not self.errors:
            names = ("tenant", "level", "workspace", "member", "metric", "window")
            rule = {name: sent.get(name) for name in names}
            if Budget.objects.filter(**rule, api_key=None, set_by=Budget.SetBy.OPERATOR).exists():
                self.add_error(None, TAKEN)
        return sent


class PlanBudgetInline(admin.TabularInline):
    model = Budget
    form = RuleForm
    formset = RuleFormSet
    fields = ("level", "metric", "window", "limit", "soft_percent")
    extra = 0


@admin.register(Plan)
class PlanAdmin(AuditedAdmin):
    """A change of a plan's budgets applies to every tenant that has it, from the next call on."""

    list_display = ("name", "is_default", "created_at")
    list_filter = ("is_default",)
    search_fields = ("name",)
    inlines = (PlanBudgetInline,)
    ordering = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not while tenants have it, since they would be left without limits."""
        unused = obj is not None and not TenantPlan.objects.filter(plan=obj.pk).exists()
        return unused and super().has_delete_permission(request, obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        with transaction.atomic():
            for row in formset.save(commit=False):
                row.set_by = Budget.SetBy.OPERATOR
                row.save()
                for tenant in Tenant.objects.filter(plan_given__plan=row.plan_id).iterator():
                    seed_counters(tenant, row)
            for row in formset.deleted_objects:
                row.delete()


@admin.register(TenantPlan)
class TenantPlanAdmin(AuditedAdmin):
    """The plans of tenants."""

    list_display = ("tenant", "plan", "given_at")
    list_select_related = ("tenant", "plan")
    list_filter = ("plan", "given_at")
    search_fields = ("tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant", "plan")
    ordering = ("-given_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("tenant",) if obj is not None else ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: TenantPlan, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for budget in obj.plan.budgets.all():
            seed_counters(obj.tenant, budget)


@admin.register(Budget)
class BudgetAdmin(AuditedAdmin):
    """Budgets of single tenants: the operator's take precedence over the plan's; the team's are read-only."""

    form = TenantRuleForm
    list_display = ("tenant", "level", "workspace_slug", "member", "metric", "window", "limit", "set_by")
    list_select_related = ("tenant", "workspace", "member", "plan")
    list_filter = ("set_by", "level", "metric", "window", "created_at")
    search_fields = ("tenant__slug", "workspace__slug", "member__email")
    autocomplete_fields = ("tenant", "workspace", "member")
    fields = ("tenant", "level", "workspace", "member", "metric", "window", "limit", "soft_percent")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        budgets: QuerySet[Budget] = super().get_queryset(request)
        return budgets.filter(plan=None)

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> tuple[str, ...]:
        """The rule of a budget is its identity: another rule is another budget."""
        return tuple(name for name in self.fields if name not in {"limit", "soft_percent"}) if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Budget | None = None) -> bool:
        teams = obj is not None and obj.set_by == Budget.SetBy.TEAM
        return not teams and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Budget | None = None) -> bool:
        teams = obj is not None and obj.set_by == Budget.SetBy.TEAM
        return not teams and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if not change:
            obj.set_by = Budget.SetBy.OPERATOR
        super().save_model(request, obj, form, change)
        if not change and obj.tenant is not None:
            seed_counters(obj.tenant, obj)

    @admin.display(description="workspace", ordering="workspace__slug")
    def workspace_slug(self, budget: Budget) -> str:
        return budget.workspace.slug if budget.workspace else "-"
