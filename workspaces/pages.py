"""Pages that open a team or a workspace, which installs the local model and gives a plan."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import Tenant, User
from accounts.page_helpers import form_page, needs, problem_text
from accounts.page_urls import page_url
from accounts.pagination import page_of
from accounts.policy import Action
from accounts.principals import Principal
from accounts.teams.workspaces import listed_workspaces
from kit.errors import DomainError
from kit.inputs import form_field
from quotas.usage import used_this_month
from workspaces.inputs import FIRST_WORKSPACE, TeamInput, WorkspaceInput
from workspaces.onboarding import LONGEST_NAME, open_tenant, open_workspace


class TeamForm(forms.Form):
    name = form_field(TeamInput, "name", label="Name")


class WorkspaceForm(forms.Form):
    name = form_field(WorkspaceInput, "name", label="Name")


@require_http_methods(["GET", "POST"])
@needs(Action.TENANT_VIEW, post=Action.WORKSPACE_CREATE)
def workspaces(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """The team's workspaces with members and this month's usage, and a form that adds one."""
    form = WorkspaceForm(request.POST or None)

    def settings_url(made: Principal) -> str:
        return page_url(request.principal, "workspace_settings", slug=made.workspace.slug)

    return form_page(
        request,
        form,
        save=lambda: open_workspace(principal=request.principal, name=form.cleaned_data["name"]),
        done=lambda made: f"{made.workspace.name} created.",
        back=settings_url,
        page=lambda: _list_page(request, form),
    )


def _list_page(request: WorkspaceRequest, form: WorkspaceForm) -> HttpResponse:
    shown = page_of(request, listed_workspaces(request.principal))
    used = used_this_month(request.principal.tenant, (row.id for row in shown.rows))
    for row in shown.rows:
        row.used_this_month = used.get(row.id, 0)
    default = Tenant.objects.values_list("default_workspace", flat=True).get(id=request.principal.tenant.id)
    return render(
        request, "settings/workspaces.html", {"form": form, "workspaces": shown, "default": default}
    )


@require_POST
@login_required
def new_team(request: HttpRequest) -> HttpResponse:
    """For people without a team: they signed in through an issuer, or left their last team."""
    form = TeamForm(request.POST)
    if not form.is_valid() or not isinstance(request.user, User):
        messages.error(request, f"Enter a team name of 1 to {LONGEST_NAME} characters.")
        return redirect("places")
    try:
        name = form.cleaned_data["name"]
        opened = open_tenant(owner=request.user, tenant_name=name, workspace_name=FIRST_WORKSPACE)
    except DomainError as problem:
        messages.error(request, problem_text(problem))
        return redirect("places")
    return redirect("new_chat", tenant=opened.tenant.slug, workspace=opened.workspace.slug)
