"""Tables of a tenant in the admin: only while that tenant is opened, and only the listed columns."""

from typing import Any, cast

from django.db import connection, models
from django.http import HttpRequest
from django_tenants.utils import get_public_schema_name

from accounts.admin.named_ids import NamedIdsAdmin
from kit.tenancy import TenantRef


class OperatorRequest(HttpRequest):
    """A request to the admin; it shows the tables of `opened_tenant`."""

    opened_tenant: TenantRef | None


def opened_tenant(request: HttpRequest) -> TenantRef | None:
    return cast("OperatorRequest", request).opened_tenant if hasattr(request, "opened_tenant") else None


def in_a_tenant() -> bool:
    """The public schema has none of these tables, so there every permission is false."""
    return bool(getattr(connection, "schema_name", None) not in (None, get_public_schema_name()))


class TenantTableAdmin(NamedIdsAdmin):
    """The base for models that live in tenants' schemas."""

    # Lookups in the URL beyond `list_filter`. Django allows them on any column, with which an operator
    # could guess a title letter by letter.
    allowed_lookups: tuple[str, ...] = ()

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return in_a_tenant() and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return in_a_tenant() and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return in_a_tenant() and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return in_a_tenant() and super().has_delete_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return in_a_tenant() and super().has_module_permission(request)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        filters = [name for name in self.list_filter if isinstance(name, str)]
        return lookup in self.allowed_lookups or any(
            lookup == name or lookup.startswith(f"{name}__") for name in filters
        )
