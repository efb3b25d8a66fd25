"""Members of tenants and workspaces in the admin: on the page of each, and as lists of their own."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin
from accounts.errors import LastOwner
from accounts.models import Membership, WorkspaceMember
from accounts.teams.members import remove_member


class MembershipForm(forms.ModelForm):
    def clean_role(self) -> str:
        """Every tenant needs an owner."""
        role = str(self.cleaned_data["role"])
        if self.instance.pk and role != Membership.Role.OWNER:
            _expect_other_owner(Membership.objects.get(pk=self.instance.pk))
        return role


def _expect_other_owner(membership: Membership) -> None:
    if membership.is_last_owner:
        raise forms.ValidationError(LastOwner.message)


class MembershipFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        for form in self.deleted_forms:
            _expect_other_owner(Membership.objects.get(pk=form.instance.pk))

    def delete_existing(self, obj: Membership, commit: bool = True) -> None:
        if commit:
            remove_member(membership=obj)


class WorkspaceMemberForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        user, workspace = data.get("user"), data.get("workspace")
        if user and workspace and not user.memberships.filter(tenant=workspace.tenant_id).exists():
            raise forms.ValidationError("Only a member of the tenant can enter its workspaces.")
        return data


class PresentMembers(admin.TabularInline):
    """The members. People are shown as text: a picker in each row would be a query for each row."""

    extra = 0
    fields = ("user", "role", "created_at")
    readonly_fields = ("user", "created_at")
    verbose_name_plural = "members"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("user").order_by("created_at", "id")


class NewMembers(admin.TabularInline):
    """A picker that adds a member; lists none."""

    extra = 1
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name_plural = "new members"

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).none()


class PresentTenantMembers(PresentMembers):
    model = Membership
    form = MembershipForm
    formset = MembershipFormSet


class NewTenantMembers(NewMembers):
    model = Membership


class PresentWorkspaceMembers(PresentMembers):
    model = WorkspaceMember


class NewWorkspaceMembers(NewMembers):
    model = WorkspaceMember
    form = WorkspaceMemberForm


class MembershipsInline(admin.TabularInline):
    """The tenants of a person, on the person's page."""

    model = Membership
    fields = readonly_fields = ("tenant", "role", "created_at")
    verbose_name_plural = "tenants"
    can_delete = False
    extra = max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("tenant").order_by("created_at", "id")


class MemberAdmin(AuditedAdmin):
    """A list for tenants and workspaces with more members than fit on their page."""

    member_of: ClassVar[str]
    list_filter = ("role", "created_at")
    ordering = ("-created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("user", self.member_of, "created_at") if obj else ("created_at",)


@admin.register(Membership)
class MembershipAdmin(MemberAdmin):
    member_of = "tenant"
    form = MembershipForm
    fields = ("user", "tenant", "role", "created_at")
    list_display = ("id", "user", "tenant", "role", "created_at")
    list_select_related = ("user", "tenant")
    search_fields = ("user__email", "tenant__slug")
    autocomplete_fields = ("user", "tenant")

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        if obj is not None and obj.is_last_owner:
            return False
        return super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        remove_member(membership=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """The last owner among the selected stays."""
        for membership in queryset:
            if membership.is_last_owner:
                self.message_user(request, f"{membership.user} stays: a tenant needs an owner.", "error")
            else:
                remove_member(membership=membership)


@admin.register(WorkspaceMember)
class WorkspaceMemberAdmin(MemberAdmin):
    member_of = "workspace"
    form = WorkspaceMemberForm
    fields = ("user", "workspace", "role", "created_at")
    list_display = ("id", "user", "tenant", "workspace_slug", "role", "created_at")
    list_select_related = ("user", "workspace__tenant")
    search_fields = ("user__email", "workspace__slug", "workspace__tenant__slug")
    autocomplete_fields = ("user",)
    raw_id_fields = ("workspace",)

    @admin.display(ordering="workspace__tenant__slug")
    def tenant(self, member: WorkspaceMember) -> str:
        return member.workspace.tenant.slug

    @admin.display(description="workspace", ordering="workspace__slug")
    def workspace_slug(self, member: WorkspaceMember) -> str:
        return member.workspace.slug
