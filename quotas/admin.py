"""Budgets, reservations and the ledger in the admin; of these, operators change a budget's limit only."""

from django.contrib import admin
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.audited import AuditedAdmin
from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.named_ids import NamedIdsAdmin
from quotas.models import Budget, BudgetWindow, Hold, Reservation, UsageRecord
from quotas.windows import month_of


@admin.register(Budget)
class BudgetAdmin(AuditedAdmin):
    """Never deleted: a workspace without a budget spends without end."""

    list_display = ("workspace_slug", "tenant", "metric", "window", "limit", "used", "reserved")
    list_select_related = ("tenant", "workspace")
    list_filter = ("created_at",)
    search_fields = ("tenant__slug", "workspace__slug")
    fields = ("tenant", "workspace_slug", "level", "metric", "window", "limit", "used", "reserved")
    readonly_fields = tuple(name for name in fields if name != "limit")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        starts_at, _ = month_of(timezone.now())
        now = BudgetWindow.objects.filter(budget=OuterRef("pk"), starts_at=starts_at)
        budgets: QuerySet[Budget] = super().get_queryset(request).select_related("tenant", "workspace")
        return budgets.annotate(
            used_now=Coalesce(Subquery(now.values("used")), 0),
            reserved_now=Coalesce(Subquery(now.values("reserved")), 0),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="workspace", ordering="workspace__slug")
    def workspace_slug(self, budget: Budget) -> str:
        return budget.workspace.slug

    @admin.display(description="used this month", ordering="used_now")
    def used(self, budget: Budget) -> int:
        return int(budget.used_now)  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="reserved now", ordering="reserved_now")
    def reserved(self, budget: Budget) -> int:
        return int(budget.reserved_now)  # type: ignore[attr-defined]


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
