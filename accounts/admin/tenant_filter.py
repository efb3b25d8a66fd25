"""Filters a list by one tenant, found by typing: a list of links would load all tenants."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import Tenant, Workspace


class TenantFilter(admin.SimpleListFilter):
    title = "tenant"
    parameter_name = "tenant"
    template = "admin/autocomplete_filter.html"

    @staticmethod
    def widget() -> AutocompleteSelect:
        return AutocompleteSelect(Workspace._meta.get_field("tenant"), admin.site)

    @classmethod
    def media(cls) -> forms.Media:
        return cls.widget().media

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]  # the form below replaces them

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        chosen = self._chosen()
        return queryset.filter(tenant=chosen) if chosen else queryset.none()

    def _chosen(self) -> UUID | None:
        try:
            return UUID(self.value() or "")
        except ValueError:
            return None

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """One choice: a form, with the other filters in hidden fields."""
        form = forms.Form(initial={self.parameter_name: self._chosen()})
        form.fields[self.parameter_name] = forms.ModelChoiceField(
            Tenant.objects.all(), widget=self.widget(), required=False, label="Tenant"
        )
        others = {name: value for name, value in changelist.params.items() if name != self.parameter_name}
        yield {"form": form, "kept": others, "all": changelist.get_query_string(remove=[self.parameter_name])}
