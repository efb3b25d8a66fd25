"""The operators' price list: prices have a start date and do not change once they are in force."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.audited import AuditedAdmin
from quotas.models import Price


class PriceForm(forms.ModelForm):
    provider = forms.CharField(max_length=20, help_text="The kind of its credential: openai, anthropic, …")

    def clean(self) -> dict[str, Any]:
        """Django skips the database constraint, since it has a column that the form lacks."""
        sent: dict[str, Any] = super().clean() or {}
        rule = {name: sent.get(name) for name in ("provider", "model", "effective_from")}
        others = Price.objects.filter(workspace=None, **rule).exclude(pk=self.instance.pk)
        if all(rule.values()) and others.exists():
            self.add_error(None, "A price with this start time already exists.")
        return sent


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    """The operators' list; a workspace's own prices are set by its team."""

    form = PriceForm
    list_display = ("provider", "model", "input", "cached_input", "output", "reasoning", "effective_from")
    list_filter = ("provider", "effective_from")
    search_fields = ("model", "provider")
    fields = list_display
    ordering = ("provider", "model", "-effective_from")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        prices: QuerySet[Price] = super().get_queryset(request)
        return prices.filter(workspace=None)

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return (obj is None or self._is_future(obj)) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return isinstance(obj, Price) and self._is_future(obj) and super().has_delete_permission(request, obj)

    def _is_future(self, price: Price) -> bool:
        return price.effective_from > timezone.now()
