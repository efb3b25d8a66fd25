"""The audit in the admin: searched and filtered, never changed."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin.lists import ReadOnlyAdmin
from accounts.models import AuditEntry

RECENT = 5_000


class ActionFilter(admin.SimpleListFilter):
    """The actions among the newest entries; listing every action would read all entries."""

    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        recent = AuditEntry.objects.order_by("-at").values_list("action", flat=True)[:RECENT]
        chosen = request.GET.get(self.parameter_name)
        return [(action, action) for action in sorted({*recent, *([chosen] if chosen else [])})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "action", "actor_email", "via", "tenant", "target", "count", "address")
    list_select_related = ("tenant",)
    list_filter = (ActionFilter, "at")
    search_fields = ("action", "target", "actor_email", "tenant__slug", "=request_id")
    fields = (
        "at",
        "action",
        "actor_email",
        "via",
        "api_key",
        "tenant",
        "workspace",
        "target",
        "changes",
        "details",
        "address",
        "request_id",
        "count",
    )
    ordering = ("-at",)
