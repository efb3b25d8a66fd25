"""Users in the admin: created, deactivated, made operators; never deleted, no password shown."""

from typing import Any, cast

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from accounts.admin.audited import AuditedAdmin
from accounts.admin.members import MembershipsInline
from accounts.models import User

RIGHTS = ("is_staff", "is_superuser", "user_permissions")


class NewUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).strip().lower()


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin):
    add_form = NewUserForm
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": ("email", "name", "usable_password", "password1", "password2")},
        ),
    )
    fieldsets = (
        (None, {"fields": ("id", "email", "name", "password")}),
        ("Access", {"fields": ("is_active", *RIGHTS)}),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    list_display = ("email", "name", "is_active", "is_staff", "created_at", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "created_at")
    search_fields = ("email", "name")
    ordering = ("-created_at",)
    filter_horizontal = ("user_permissions",)
    inlines = (MembershipsInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """The address cannot change, because it identifies the person at sign-in. Superusers give rights."""
        fixed = ("id", "created_at", "last_login", *(("email",) if obj else ()))
        return fixed if _is_superuser(request) else (*fixed, *RIGHTS)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Operators neither see nor set a member's password."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or _is_operator(obj):
            return fieldsets
        return [
            (name, {**options, "fields": [field for field in options["fields"] if field != "password"]})
            for name, options in fieldsets
        ]

    def get_inlines(self, request: HttpRequest, obj: User | None = None) -> Any:
        return self.inlines if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only superusers change operators: setting an operator's password means acting as them."""
        if obj is not None and (obj.is_staff or obj.is_superuser) and not _is_superuser(request):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Users are deactivated instead; what they wrote and used stays theirs."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            EmailAddress.objects.create(user=obj, email=obj.email, primary=True, verified=False)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Sets the password and audits it in one transaction; for operators only.

        An operator who set a member's password could sign in as that member and read what they wrote.
        Members set their own by “Forgotten?” on the sign-in page.
        """
        target = self.get_object(request, id)
        if target is None or not _is_operator(target):
            raise PermissionDenied
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)


def _is_operator(user: User) -> bool:
    return user.is_staff or user.is_superuser


def _is_superuser(request: HttpRequest) -> bool:
    return cast("User", request.user).is_superuser
