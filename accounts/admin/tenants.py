"""Tenants and workspaces in the admin: renamed, suspended, archived and restored; created by sign-up only."""

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import Media, ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin.audited import AuditedAdmin
from accounts.admin.members import (
    NewTenantMembers,
    NewWorkspaceMembers,
    PresentTenantMembers,
    PresentWorkspaceMembers,
)
from accounts.admin.tenant_filter import TenantFilter
from accounts.models import Membership, Tenant, Workspace
from accounts.teams import tenants, workspaces

MOST_INLINE = 100  # members on one page; the list of members has more


class MembersAdmin(AuditedAdmin):
    """For tenants and workspaces: members on the page, and neither creation nor deletion."""

    ordering = ("-created_at",)
    members_relation = "members"

    class Media:
        css = {"all": ("accounts/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A tenant needs a schema and a workspace, a workspace its model: sign-up creates them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        few = obj is not None and self._members_of(obj)[: MOST_INLINE + 1].count() <= MOST_INLINE
        return self.inlines if few else self.inlines[1:]

    def _members_of(self, row: Any) -> QuerySet[Any]:
        members: QuerySet[Any] = getattr(row, self.members_relation).all()
        return members


@admin.register(Tenant)
class TenantAdmin(MembersAdmin):
    members_relation = "memberships"
    list_display = ("slug", "name", "members", "created_at", "suspended_at", "open")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("slug", "name")
    fields = ("slug", "name", "id", "schema_name", "created_at", "suspended_at", "open")
    readonly_fields = ("slug", "id", "schema_name", "created_at", "suspended_at", "open")
    inlines = (PresentTenantMembers, NewTenantMembers)
    actions = ("suspend", "unsuspend")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        members = Membership.objects.filter(tenant=OuterRef("pk")).order_by().values("tenant")
        counted = Subquery(members.annotate(number=Count("*")).values("number"))
        rows: QuerySet[Tenant] = super().get_queryset(request).annotate(member_count=Coalesce(counted, 0))
        return rows

    @admin.display(ordering="member_count")
    def members(self, tenant: Tenant) -> int:
        return int(tenant.member_count)  # annotated above

    @admin.display(description="look inside")
    def open(self, tenant: Tenant) -> str:
        url = reverse("admin:gateway_conversation_changelist")
        return format_html('<a href="{}?_tenant={}">Conversations</a>', url, tenant.slug)

    def save_model(self, request: HttpRequest, obj: Tenant, form: ModelForm, change: bool) -> None:
        tenants.rename_tenant(tenant=obj, name=obj.name)

    @admin.action(description="Suspend: nobody may enter", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            tenants.suspend_tenant(tenant=tenant, actor_id=actor_of(request))
        self.message_user(request, "Suspended.")

    @admin.action(description="Lift the suspension", permissions=["change"])
    def unsuspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            tenants.unsuspend_tenant(tenant=tenant, actor_id=actor_of(request))
        self.message_user(request, "No longer suspended.")


@admin.register(Workspace)
class WorkspaceAdmin(MembersAdmin):
    list_display = ("slug", "name", "tenant", "created_at", "archived_at")
    list_select_related = ("tenant",)
    list_filter = (TenantFilter, ("archived_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("slug", "name", "tenant__slug")
    fields = ("slug", "name", "id", "tenant", "created_at", "archived_at")
    readonly_fields = ("slug", "id", "tenant", "created_at", "archived_at")
    inlines = (PresentWorkspaceMembers, NewWorkspaceMembers)
    actions = ("archive", "restore")

    @property
    def media(self) -> Media:
        return super().media + TenantFilter.media()

    @admin.action(description="Archive: nobody may enter", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Workspace]) -> None:
        for workspace in queryset:
            workspaces.archive_workspace(workspace=workspace, actor_id=actor_of(request))
        self.message_user(request, "Archived.")

    @admin.action(description="Restore", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Workspace]) -> None:
        for workspace in queryset:
            workspaces.restore_workspace(workspace=workspace, actor_id=actor_of(request))
        self.message_user(request, "Restored.")


def actor_of(request: HttpRequest) -> UUID:
    return cast("UUID", request.user.pk)
