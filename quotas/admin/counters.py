"""The counters of budgets: operators view them, and grant extra for one window."""

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin
from accounts.admin.lists import BoundedPaginator
from accounts.admin.named_ids import NamedIdsAdmin
from quotas.models import BudgetWindow
from quotas.models.rules import MOST


class GrantForm(forms.ModelForm):
    granted = forms.IntegerField(
        min_value=0,
        max_value=MOST,
        help_text="In addition to the limit, until the window ends. Applies immediately.",
    )


@admin.register(BudgetWindow)
class BudgetWindowAdmin(AuditedAdmin, NamedIdsAdmin):
    """Only the granted amount can be changed."""

    form = GrantForm
    own_ids = ("subject_id", "scope_id")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    actions = None
    list_display = (
        "tenant",
        "level",
        "subject_id",
        "metric",
        "window",
        "starts_at",
        "used",
        "reserved",
        "limit",
        "granted",
    )
    list_filter = ("level", "metric", "window", "starts_at")
    fields = (*list_display, "scope_id", "resets_at", "alert_at", "alerted_at")
    readonly_fields = tuple(name for name in fields if name != "granted")
    ordering = ("-starts_at", "-id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: BudgetWindow, form: forms.ModelForm, change: bool
    ) -> None:
        """Saves only this column, so that concurrent changes of turns are not overwritten."""
        obj.save(update_fields=["granted"])
