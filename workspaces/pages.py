"""The pages of a workspace beside its chat: models and usage."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.middleware import WorkspaceRequest
from quotas.windows import workspace_figures
from workspaces.language_models.services import installed_models


@require_GET
def models(request: WorkspaceRequest, tenant: str, workspace: str) -> HttpResponse:
    rows = installed_models(workspace_id=request.principal.workspace.id)
    return render(request, "workspaces/models.html", {"models": rows})


@require_GET
def usage(request: WorkspaceRequest, tenant: str, workspace: str) -> HttpResponse:
    figures = workspace_figures(request.principal.workspace.id)
    return render(request, "workspaces/usage.html", {"quota": figures})
