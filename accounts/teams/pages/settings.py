"""The settings of the team: its name and rules."""

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import form_page, needs
from accounts.page_urls import page_url
from accounts.policy import Action
from accounts.teams import tenants
from accounts.teams.inputs import TenantChange
from accounts.teams.pages.members import offer_for
from kit.inputs import form_field, read_form


class TeamForm(forms.Form):
    name = form_field(TenantChange, "name", label="Team name", required=True)
    departed_conversations = form_field(
        TenantChange,
        "departed_conversations",
        label="Private conversations and prompts of people who leave",
        required=True,
    )


@require_http_methods(["GET", "POST"])
@needs(Action.TENANT_VIEW, post=Action.TENANT_CHANGE)
def team(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """Read-only for members who may not change it."""
    tenant = tenants.tenant_of(request.principal)
    initial = {"name": tenant.name, "departed_conversations": tenant.departed_conversations}
    form = TeamForm(request.POST or None, initial=initial)
    context = {"form": form, "team": tenant, "offer": offer_for(request.principal)}
    return form_page(
        request,
        form,
        save=lambda: tenants.change_tenant(principal=request.principal, change=read_form(TenantChange, form)),
        done="Saved.",
        back=page_url(request.principal, "settings"),
        page=lambda: render(request, "settings/team.html", context),
    )
