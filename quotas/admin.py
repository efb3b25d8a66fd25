"""Budgets, reservations and the ledger in the admin; of these, operators change a budget's limit only."""

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin
from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.named_ids import NamedIdsAdmin
from quotas.models import Budget, Hold, Plan, Reservation, UsageRecord


class PlanBudgetInline(admin.TabularInline):
    model = Budget
    fields = ("level", "metric", "window", "limit", "soft_percent")
    extra = 0


@admin.register(Plan)
class PlanAdmin(AuditedAdmin):
    list_display = ("name", "is_default", "created_at")
    list_filter = ("is_default",)
    search_fields = ("name",)
    inlines = (PlanBudgetInline,)
    ordering = ("name",)


@admin.register(Budget)
class BudgetAdmin(AuditedAdmin):
    """Those of tenants; those of plans stand with their plan."""

    list_display = ("tenant", "level", "workspace", "member", "metric", "window", "limit", "set_by")
    list_select_related = ("tenant", "workspace", "member", "plan")
    list_filter = ("set_by", "level", "metric", "window", "created_at")
    search_fields = ("tenant__slug", "workspace__slug")
    autocomplete_fields = ("tenant", "workspace", "member")
    fields = ("tenant", "level", "workspace", "member", "metric", "window", "limit", "soft_percent")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        budgets: QuerySet[Budget] = super().get_queryset(request).filter(plan=None)
        return budgets


class HoldInline(admin.TabularInline):
    model = Hold
    fields = ("model", "provider", "state", "prompt_bound", "output_bound", "streamed_tokens", "overrun")
    readonly_fields = fields
    can_delete = False
    extra = max_num = 0

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin, NamedIdsAdmin):
    list_display = ("id", "state", "purpose", "tenant", "workspace", "owner", "created_at", "closed_at")
    list_filter = ("state", "created_at")
    fields = (
        "id",
        "state",
        "purpose",
        "engine",
        "tenant",
        "workspace",
        "owner",
        "lease_expires_at",
        "created_at",
        "closed_at",
    )
    readonly_fields = fields
    inlines = (HoldInline,)
    ordering = ("-created_at",)


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin, NamedIdsAdmin):
    own_ids = ("turn_id", "call_id")
    list_display = (
        "at",
        "tenant",
        "workspace",
        "owner",
        "purpose",
        "model",
        "input_tokens",
        "output_tokens",
        "exactness",
        "is_correction",
    )
    list_filter = ("purpose", "exactness", "is_correction", "at")
    fields = ("turn_id", "call_id", "provider", "engine", *list_display)
    readonly_fields = fields
    ordering = ("-id",)
