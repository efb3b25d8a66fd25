"""The mail queue in the admin: the state of each mail, never its text, because links in it are secrets."""

from django.contrib import admin

from accounts.admin.lists import ReadOnlyAdmin
from accounts.models import OutgoingMail


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "to", "subject", "sent_at", "failed_at", "attempts", "last_error")
    list_filter = (("failed_at", admin.EmptyFieldListFilter), ("sent_at", admin.EmptyFieldListFilter))
    search_fields = ("=to",)
    fields = ("created_at", "to", "subject", "sent_at", "failed_at", "attempts", "last_error")
    ordering = ("-created_at", "-id")
