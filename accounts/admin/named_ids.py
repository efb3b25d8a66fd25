"""Lists of rows that only have ids of tenants, workspaces and users, shown and searched by their names."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest

from accounts.models import Tenant, User, Workspace

NAMES: dict[str, tuple[type[Model], str]] = {
    "tenant_id": (Tenant, "slug"),
    "workspace_id": (Workspace, "slug"),
    "user_id": (User, "email"),
}


class NamedIdsAdmin(admin.ModelAdmin):
    """Names are read in the list's own query, however long the list."""

    own_ids: ClassVar[tuple[str, ...]] = ("id",)  # other columns to search by
    search_fields = ("id",)  # Django shows the search box; `matching` does the search
    search_help_text = "An id, a person's address, or the slug of a workspace"

    @property
    def named(self) -> dict[str, tuple[type[Model], str]]:
        fields = {field.name for field in self.opts.get_fields()}
        return {id_field: name for id_field, name in NAMES.items() if id_field in fields}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        names = {
            f"{id_field}_name": Subquery(
                model._default_manager.filter(id=OuterRef(id_field)).values(name)[:1]
            )
            for id_field, (model, name) in self.named.items()
        }
        rows: QuerySet[Any] = super().get_queryset(request).annotate(**names)
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        for word in search_term.split():
            queryset = queryset.filter(self.matching(word))
        return queryset, False

    def matching(self, word: str) -> Q:
        """By ids, or by the names that belong to them; never by a row's content."""
        matches, wanted_id = Q(), _uuid(word)
        if wanted_id is not None:
            for id_field in (*self.own_ids, *self.named):
                matches |= Q(**{id_field: wanted_id})
            return matches
        for id_field, (model, name) in self.named.items():
            like = model._default_manager.filter(**{f"{name}__icontains": word})
            matches |= Q(**{f"{id_field}__in": like.values("id")})
        return matches

    @admin.display(ordering="tenant_id_name")
    def tenant(self, row: Any) -> str:
        return row.tenant_id_name or str(row.tenant_id)

    @admin.display(ordering="workspace_id_name")
    def workspace(self, row: Any) -> str:
        return row.workspace_id_name or str(row.workspace_id)

    @admin.display(ordering="user_id_name")
    def owner(self, row: Any) -> str:
        return row.user_id_name or str(row.user_id)


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None
