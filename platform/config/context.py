"""What every page of a workspace has around its content: workspaces, conversations, links, quota."""

from datetime import date, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.middleware import WorkspaceRequest
from accounts.page_urls import page_url
from accounts.pagination import cursor_of, rows_after
from accounts.policy import Permissions
from accounts.principals import Principal
from accounts.teams.pages.start import workspaces_by_tenant
from gateway.api.pages.chat import conversation_data
from gateway.conversations.services import listed_conversations
from gateway.models import Conversation
from quotas.limits import fullest, limits_of
from quotas.planned_calls import Payer
from workspaces.kind import Kind
from workspaces.kinds import RAIL

CONVERSATIONS_SHOWN = 40
SECTIONS = ("members", "settings", "usage", *(kind.name for kind in RAIL))


def frame(request: HttpRequest) -> dict[str, Any]:
    """A context processor, with the principal's permissions; pages outside a workspace have no frame.

    Read only when a template asks for it: an error page has none, and Django renders those in another thread,
    outside the tenant's schema.
    """
    if not hasattr(request, "principal"):
        return {}
    inside: WorkspaceRequest = request  # type: ignore[assignment]  # the middleware gave it a principal
    lazy = SimpleLazyObject(lambda: read_frame(inside))
    quota = SimpleLazyObject(lambda: lazy["quota"])
    return {"frame": lazy, "quota": quota, "can": Permissions(inside.principal)}


def read_frame(request: WorkspaceRequest) -> dict[str, Any]:
    """A fixed number of queries, however many conversations there are."""
    principal = request.principal
    groups, more_url = _conversations(request)
    limits = limits_of(Payer.of(principal))
    return {
        "tenant": {"slug": principal.tenant.slug, "name": principal.tenant_name},
        "workspace": {"slug": principal.workspace.slug, "name": principal.workspace.name},
        "places": workspaces_by_tenant(principal.user_id, request.path),
        "conversation_groups": groups,
        "more_url": more_url,
        "urls": _urls(principal),
        "kinds": [_rail_entry(kind, principal) for kind in RAIL],
        "here": _section(request),
        "quota": fullest(limits),
        "near": [limit for limit in limits if limit.is_near],
    }


def _section(request: HttpRequest) -> str:
    """The rail's entry for the current route. Names of teams and workspaces are no part of a route."""
    match = request.resolver_match
    words = match.route.split("/") if match else []
    return next((name for name in SECTIONS if name in words), "")


def _rail_entry(kind: Kind, principal: Principal) -> dict[str, str]:
    rail = kind.rail
    url = page_url(principal, rail.url_name)
    return {"name": kind.name, "label": rail.label, "icon": rail.icon, "url": url}


def _urls(principal: Principal) -> dict[str, str]:
    new_chat = page_url(principal, "new_chat")
    return {
        "new_chat": new_chat,
        "search": new_chat,
        "usage": page_url(principal, "usage"),
        "members": page_url(principal, "members"),
        "settings": page_url(principal, "settings"),
        "room": page_url(principal, "workspace_settings", slug=principal.workspace.slug),
        "logout": reverse("account_logout"),
        "switch": reverse("places"),
        **{kind.name: page_url(principal, kind.rail.url_name) for kind in RAIL},
    }


def _conversations(request: WorkspaceRequest) -> tuple[list[dict[str, Any]], str]:
    """The latest conversations by day, filtered by `?q=`, and the URL of the next page."""
    rows = listed_conversations(request.principal).order_by("-last_turn_at", "-id")
    query = request.GET.get("q", "").replace("\0", "").strip()[:200]
    if query:
        rows = rows.filter(title__icontains=query)
    rows = rows_after(rows, request.GET.get("until", ""), moment="last_turn_at", newest_first=True)
    page = list(rows[: CONVERSATIONS_SHOWN + 1])
    shown = page[:CONVERSATIONS_SHOWN]
    older = ""
    if len(page) > CONVERSATIONS_SHOWN:
        older = "?" + urlencode({"q": query, "until": cursor_of(shown[-1], "last_turn_at")})
    return grouped(request, shown), older


def grouped(request: WorkspaceRequest, rows: list[Conversation]) -> list[dict[str, Any]]:
    today = timezone.now().date()
    return [
        {"label": label, "conversations": [conversation_data(request, row) for row in days]}
        for label, days in groupby(rows, key=lambda row: day_label(row.last_turn_at.date(), today))
    ]


def day_label(day: date, today: date) -> str:
    age = today - day
    if age <= timedelta(0):
        return "Today"
    if age == timedelta(days=1):
        return "Yesterday"
    if age < timedelta(days=7):
        return "Last 7 days"
    return f"{day:%B %Y}" if day.year != today.year else f"{day:%B}"
