"""Where the web begins: the root leads to one's workspace, and a page lists all of them."""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.middleware import LAST_PLACE
from accounts.models import WorkspaceMember
from accounts.principals import open_places


@require_GET
@login_required
def root(request: HttpRequest) -> HttpResponse:
    """To where one was last, else to the first workspace one joined; to the list when there is none."""
    tenant, workspace = request.session.get(LAST_PLACE, ["", ""])
    mine = _places(_user_id(request))
    place = mine.filter(workspace__tenant__slug=tenant, workspace__slug=workspace).first() or mine.first()
    return redirect(place_url(place)) if place else redirect("places")


@require_GET
@login_required
def places(request: HttpRequest) -> HttpResponse:
    listed = listed_places(_user_id(request))
    return render(request, "workspaces/home.html", {"places": listed, "no_place": not listed})


@require_GET
def workspace(request: HttpRequest, tenant: str, workspace: str) -> HttpResponse:
    return redirect("new_chat", tenant=tenant, workspace=workspace)


def listed_places(user_id: UUID, current: str = "") -> list[dict[str, Any]]:
    """Every workspace one may enter, by tenant: `{tenant_slug, tenant_name, workspaces}`."""
    tenants: dict[str, dict[str, Any]] = {}
    for place in _places(user_id):
        tenant, url = place.workspace.tenant, place_url(place)
        group = tenants.setdefault(
            tenant.slug, {"tenant_slug": tenant.slug, "tenant_name": tenant.name, "workspaces": []}
        )
        group["workspaces"].append(
            {
                "slug": place.workspace.slug,
                "name": place.workspace.name,
                "url": url,
                "current": current.startswith(url.removesuffix("chat/")),
            }
        )
    return list(tenants.values())


def _user_id(request: HttpRequest) -> UUID:
    return cast("UUID", request.user.pk)  # both views need a login


def place_url(place: WorkspaceMember) -> str:
    slugs = {"tenant": place.workspace.tenant.slug, "workspace": place.workspace.slug}
    return reverse("new_chat", kwargs=slugs)


def _places(user_id: UUID) -> Any:
    return open_places(user_id).order_by("workspace__tenant__created_at", "created_at", "id")
