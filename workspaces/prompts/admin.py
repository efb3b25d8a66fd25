"""What operators see of a tenant's prompts: that they are there, not what they say."""

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.tenancy import TenantTableAdmin


class PromptAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = ("slug", "title", "workspace", "visibility", "number", "updated_at")
    list_filter = ("visibility", "updated_at")
    fields = readonly_fields = (*list_display, "tags", "created_at", "removed_at")
    ordering = ("-updated_at", "-id")
