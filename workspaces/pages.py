"""A team for somebody who has none."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.page_helpers import told
from kit.errors import DomainError
from workspaces.onboarding import FIRST_WORKSPACE, LONGEST_NAME, open_place


@require_POST
@login_required
def new_team(request: HttpRequest) -> HttpResponse:
    """For somebody who came without one: by an issuer, or by leaving their last."""
    name = " ".join(request.POST.get("name", "").replace("\0", "").split())
    if not 0 < len(name) <= LONGEST_NAME or not isinstance(request.user, User):
        messages.error(request, f"Enter a team name of 1 to {LONGEST_NAME} characters.")
        return redirect("places")
    try:
        place = open_place(owner=request.user, tenant_name=name, workspace_name=FIRST_WORKSPACE)
    except DomainError as problem:
        messages.error(request, told(problem))
        return redirect("places")
    return redirect("new_chat", tenant=place.tenant.slug, workspace=place.workspace.slug)
