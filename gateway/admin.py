"""A tenant's conversations and turns in the admin: who, when and how much, but no content.

No title, part, decision or error text is shown, searched, filtered by or even read from the database, and
Message is not registered.
"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.tenancy import TenantTableAdmin
from gateway.models import Conversation, Turn


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = ("id", "owner", "workspace", "turn_count", "total_tokens", "created_at", "last_turn_at")
    list_filter = ("created_at", "last_turn_at")
    fields = readonly_fields = (*list_display, "engine", "turns")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).defer("title")

    @admin.display
    def turns(self, conversation: Conversation) -> str:
        url = reverse("admin:gateway_turn_changelist")
        return format_html('<a href="{}?conversation__id__exact={}">Its turns</a>', url, conversation.pk)


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin, TenantTableAdmin):
    list_display = (
        "id",
        "owner",
        "workspace",
        "kind",
        "status",
        "finish_reason",
        "model",
        "input_tokens",
        "output_tokens",
        "created_at",
        "finished_at",
    )
    list_filter = ("status", "kind", "finish_reason", "created_at")
    fields = readonly_fields = (
        *list_display,
        "conversation_link",
        "engine",
        "exactness",
        "error_code",
        "stop_requested_at",
    )
    own_ids = ("id", "conversation_id")
    allowed_lookups = ("conversation__id__exact",)
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        turns: QuerySet[Turn] = super().get_queryset(request)
        return turns.annotate(code_only=KT("error__code")).defer(
            "parts", "decision", "error", "idempotency_key", "body_hash"
        )

    @admin.display(description="error")
    def error_code(self, turn: Any) -> str:
        """The code only: an error's details may hold a partial reply."""
        return turn.code_only or "-"

    @admin.display(description="conversation")
    def conversation_link(self, turn: Turn) -> str:
        if turn.conversation_id is None:
            return "-"
        url = reverse("admin:gateway_conversation_change", args=[turn.conversation_id])
        return format_html('<a href="{}">{}</a>', url, turn.conversation_id)
