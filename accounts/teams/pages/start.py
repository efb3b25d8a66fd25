"""The root, which leads to the last used workspace, and the page that lists all of them."""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.middleware import LAST_WORKSPACE
from accounts.models import WorkspaceMember
from accounts.principals import open_memberships


@require_GET
@login_required
def root(request: HttpRequest) -> HttpResponse:
    """To the workspace used last, else the first one joined; to the list if there is none."""
    tenant, workspace = request.session.get(LAST_WORKSPACE, ["", ""])
    own = _own_memberships(_user_id(request))
    member = own.filter(workspace__tenant__slug=tenant, workspace__slug=workspace).first() or own.first()
    return redirect(_chat_url(member)) if member else redirect("places")


@require_GET
@login_required
def workspaces(request: HttpRequest) -> HttpResponse:
    groups = workspaces_by_tenant(_user_id(request))
    return render(request, "workspaces/home.html", {"places": groups, "no_place": not groups})


@require_GET
def workspace(request: HttpRequest, tenant: str, workspace: str) -> HttpResponse:
    return redirect("new_chat", tenant=tenant, workspace=workspace)


def workspaces_by_tenant(user_id: UUID, current: str = "") -> list[dict[str, Any]]:
    """Every workspace that the person may enter: `{tenant_slug, tenant_name, workspaces}` for each tenant."""
    tenants: dict[str, dict[str, Any]] = {}
    for member in _own_memberships(user_id):
        tenant, url = member.workspace.tenant, _chat_url(member)
        group = tenants.setdefault(
            tenant.slug, {"tenant_slug": tenant.slug, "tenant_name": tenant.name, "workspaces": []}
        )
        group["workspaces"].append(
            {
                "slug": member.workspace.slug,
                "name": member.workspace.name,
                "url": url,
                "current": current.startswith(url.removesuffix("chat/")),
            }
        )
    return list(tenants.values())


def _user_id(request: HttpRequest) -> UUID:
    return cast("UUID", request.user.pk)  # both views need a login


def _chat_url(member: WorkspaceMember) -> str:
    slugs = {"tenant": member.workspace.tenant.slug, "workspace": member.workspace.slug}
    return reverse("new_chat", kwargs=slugs)


def _own_memberships(user_id: UUID) -> QuerySet[WorkspaceMember]:
    return open_memberships(user_id).order_by("workspace__tenant__created_at", "created_at", "id")
