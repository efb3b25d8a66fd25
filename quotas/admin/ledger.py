"""Reservations, the ledger and its sums in the admin, read-only, and the usage of all tenants."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.named_ids import NamedIdsAdmin
from kit.errors import InvalidInput
from quotas.models import Hold, Reservation, UsageDay, UsageRecord
from quotas.pages.charts import day_chart
from quotas.pages.usage import PeriodForm
from quotas.usage import break_down, slice_of

OPERATORS_COLUMNS = ("tenant", "model", "purpose")


class HoldInline(admin.TabularInline):
    model = Hold
    fields = (
        "model",
        "provider",
        "state",
        "prompt_bound",
        "prompt_estimate",
        "output_bound",
        "streamed_tokens",
        "overrun",
    )
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
        "flag",
        "is_correction",
    )
    list_filter = ("purpose", "exactness", "flag", "is_correction", "at")
    fields = ("turn_id", "call_id", "provider", "engine", *list_display)
    readonly_fields = fields
    ordering = ("-id",)


@admin.register(UsageDay)
class UsageDayAdmin(ReadOnlyAdmin, NamedIdsAdmin):
    """The daily sums of all tenants; `summary/` breaks them down."""

    change_list_template = "admin/usage_list.html"
    list_display = (
        "day",
        "tenant",
        "workspace",
        "owner",
        "model",
        "purpose",
        "calls",
        "input_tokens",
        "output_tokens",
        "cost",
        "unpriced_calls",
        "flagged_calls",
    )
    list_filter = ("purpose", "day")
    fields = ("api_key_id", "cached_tokens", "reasoning_tokens", *list_display)
    readonly_fields = fields
    ordering = ("-day", "-id")

    def get_urls(self) -> list[Any]:
        summary = path("summary/", self.admin_site.admin_view(self.summary), name="quotas_usageday_summary")
        return [summary, *super().get_urls()]

    def summary(self, request: HttpRequest) -> HttpResponse:
        """The usage of all tenants: a bar per day and a table by tenant, model or purpose."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        by = request.GET.get("by", "") if request.GET.get("by") in OPERATORS_COLUMNS else "tenant"
        form = PeriodForm(request.GET)
        days = (form.cleaned_data["since"], form.cleaned_data["until"]) if form.is_valid() else (None, None)
        try:
            wanted = slice_of(None, *days)
        except InvalidInput:
            wanted = slice_of(None, None, None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Usage across tenants",
            "by": by,
            "columns": OPERATORS_COLUMNS,
            "wanted": wanted,
            "chart": day_chart(break_down(wanted, "day").groups),
            "groups": break_down(wanted, by),
        }
        return render(request, "admin/usage_summary.html", context)
