"""A tenant's prompts for operators: title and visibility, never the text."""

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.tenancy import TenantTableAdmin


class PromptAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = ("slug", "title", "workspace", "visibility", "number", "updated_at")
    list_filter = ("visibility", "updated_at")
    fields = readonly_fields = (*list_display, "tags", "created_at", "removed_at")
    ordering = ("-updated_at", "-id")
