"""A tenant's MCP servers for operators: their addresses and whether they respond, never their keys."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.tenancy import TenantTableAdmin
from workspaces.mcp_servers.models import MCPServer, MCPSignIn

SEALED = ("sealed_header", "sealed_client", "sealed_url")


class MCPServerAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = (
        "slug",
        "name",
        "workspace",
        "url",
        "auth",
        "sign_in",
        "has_header",
        "enabled",
        "problem",
        "checked_at",
    )
    list_filter = ("auth", "enabled", "created_at")
    fields = readonly_fields = (*list_display, "transport", "created_at", "removed_at")
    ordering = ("workspace_id", "slug")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MCPServer]:
        rows: QuerySet[MCPServer] = super().get_queryset(request)
        return rows.annotate(is_keyed=~Q(sealed_header="")).defer(*SEALED)

    @admin.display(boolean=True, description="has a key")
    def has_header(self, server: Any) -> bool:
        return bool(server.is_keyed)


class ToolAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = ("name", "server", "is_allowed", "needs_approval", "is_gone", "problem", "created_at")
    list_filter = ("is_allowed", "needs_approval", "is_gone")
    fields = readonly_fields = (*list_display, "definition", "offered", "argument_schema")
    ordering = ("server_id", "name")
    list_select_related = ("server",)


class MCPSignInAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = ("server", "user_id", "expires_at", "problem", "created_at")
    fields = readonly_fields = (*list_display, "scope")
    ordering = ("server_id", "user_id")
    list_select_related = ("server",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MCPSignIn]:
        rows: QuerySet[MCPSignIn] = super().get_queryset(request)
        return rows.defer("sealed_access", "sealed_refresh")
