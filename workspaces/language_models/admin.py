"""Language models and credentials of the opened tenant: operators enable and disable models."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin
from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.tenancy import TenantTableAdmin, opened_tenant
from workspaces.language_models.models import ProviderCredential


class LanguageModelAdmin(AuditedAdmin, TenantTableAdmin):
    list_display = (
        "slug",
        "name",
        "kind",
        "workspace",
        "provider",
        "enabled",
        "context_window",
        "created_at",
    )
    list_filter = ("kind", "provider", "enabled", "created_at")
    fields = (
        "slug",
        "name",
        "kind",
        "workspace",
        "provider",
        "upstream_name",
        "context_window",
        "output_bound",
        "credential",
        "fallback",
        "enabled",
        "created_at",
    )
    readonly_fields = tuple(name for name in fields if name != "enabled")
    ordering = ("workspace_id", "slug")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workspaces install their own models."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def audit_scope(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        tenant = opened_tenant(request)
        return {**super().audit_scope(request, row), "tenant_id": tenant.id if tenant else None}


class ProviderCredentialAdmin(ReadOnlyAdmin, TenantTableAdmin):
    """Shows whether a credential has a key, never the key itself, encrypted or not."""

    list_display = ("name", "workspace", "kind", "base_url", "has_key", "created_at", "updated_at")
    list_filter = ("kind", "created_at")
    fields = readonly_fields = list_display
    ordering = ("workspace_id", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderCredential]:
        rows: QuerySet[ProviderCredential] = super().get_queryset(request)
        return rows.annotate(is_keyed=~Q(sealed_key="")).defer("sealed_key")

    @admin.display(boolean=True, description="has a key")
    def has_key(self, credential: Any) -> bool:
        return bool(credential.is_keyed)
