"""The pages of a workspace beside its chat; and a team for who has none."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import User
from quotas.pricing import rates_in_force
from workspaces.language_models.services import installed_models
from workspaces.onboarding import FIRST_WORKSPACE, LONGEST_NAME, open_place


@require_GET
def models(request: WorkspaceRequest, tenant: str, workspace: str) -> HttpResponse:
    here = request.principal.workspace.id
    rows = installed_models(workspace_id=here)
    rates = rates_in_force(here, [(row.slug, row.provider, row.upstream_name) for row in rows])
    priced = [{"model": row, "rates": rates.get(row.slug)} for row in rows]
    return render(request, "workspaces/models.html", {"models": priced})


@require_POST
@login_required
def new_team(request: HttpRequest) -> HttpResponse:
    """For somebody who came without one: by an issuer, or by leaving their last."""
    name = " ".join(request.POST.get("name", "").replace("\0", "").split())
    if not 0 < len(name) <= LONGEST_NAME or not isinstance(request.user, User):
        messages.error(request, f"Give your team a name of 1 to {LONGEST_NAME} characters.")
        return redirect("places")
    place = open_place(owner=request.user, tenant_name=name, workspace_name=FIRST_WORKSPACE)
    return redirect("new_chat", tenant=place.tenant.slug, workspace=place.workspace.slug)
