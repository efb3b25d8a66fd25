"""The pages of language models: the list, installing and changing a model, and credentials."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import act, blame, needs
from accounts.page_urls import place_url
from accounts.policy import Action, may
from kit.errors import DomainError
from quotas.workspace_prices import rates_in_force
from workspaces.language_models import credential_services, services
from workspaces.language_models.catalogue import CatalogueProvider, read_catalogue
from workspaces.language_models.forms import InstallForm, ModelForm
from workspaces.language_models.inputs import CredentialChange
from workspaces.language_models.queries import find_model, known_models


@require_GET
@needs(Action.MODELS_VIEW)
def models(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Lists the usable models; managers see all, with the credentials."""
    principal = request.principal
    may_change = may(principal, Action.MODELS_CHANGE)
    rows = known_models(principal)
    named = [(row.slug, row.provider, row.upstream_name) for row in rows]
    rates = rates_in_force(principal.workspace.id, named)
    context = {
        "models": [{"model": row, "rates": rates.get(row.slug)} for row in rows],
        "credentials": list(credential_services.credentials_of(principal)) if may_change else [],
    }
    return render(request, "language_models/list.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def install(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Installs a model with an existing credential or a new one.

    `?provider=` fills in the known fields of a catalogue provider that lists no models.
    """
    listed = _listed(request.GET.get("provider", ""))
    form = InstallForm(request.principal, request.POST or None, initial=_initial(listed))
    if request.method == "POST" and form.is_valid():
        is_tested = form.cleaned_data["test"]
        try:
            services.add_model(
                principal=request.principal,
                model=form.model(),
                credential=form.chosen_credential(),
                is_tested=is_tested,
            )
        except DomainError as problem:
            blame(form, problem)
        else:
            done = (
                "Model installed. The key works and the model answers." if is_tested else "Model installed."
            )
            messages.success(request, done)
            return redirect(place_url(request.principal, "models"))
    return render(request, "language_models/install.html", {"form": form, "provider": listed})


def _listed(slug: str) -> CatalogueProvider | None:
    return next((row for row in read_catalogue().providers if row.slug == slug), None)


def _initial(listed: CatalogueProvider | None) -> dict[str, Any]:
    if listed is None:
        return {}
    return {"kind": listed.kind, "base_url": listed.base_url, "credential_name": listed.name}


@require_POST
@needs(Action.MODELS_CHANGE)
def change_models(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Enables or disables the selected models."""
    enabled = request.POST.get("enabled") == "1"
    return act(
        request,
        services.change_models,
        principal=request.principal,
        slugs=[slug.replace("\0", "") for slug in request.POST.getlist("models")[:200]],
        enabled=enabled,
        done="Enabled." if enabled else "Disabled.",
        back=place_url(request.principal, "models"),
    )


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def model(request: WorkspaceRequest, model: str, **place: str) -> HttpResponse:
    """A model: its name, limits, parameters, access and fallback."""
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    form = ModelForm(request.principal, found, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_model(principal=request.principal, slug=found.slug, change=form.change())
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(place_url(request.principal, "model", model=found.slug))
    return render(request, "language_models/model.html", {"form": form, "model": found})


@require_POST
@needs(Action.MODELS_CHANGE)
def remove(request: WorkspaceRequest, model: str, **place: str) -> HttpResponse:
    back = place_url(request.principal, "models")
    return act(
        request, services.remove_model, principal=request.principal, slug=model, done="Removed.", back=back
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def test(request: WorkspaceRequest, model: str, **place: str) -> HttpResponse:
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    return act(
        request,
        services.test_model,
        principal=request.principal,
        slug=found.slug,
        done=f"{found.name} works.",
        back=place_url(request.principal, "model", model=found.slug),
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def rotate(request: WorkspaceRequest, credential_id: UUID, **place: str) -> HttpResponse:
    """Replaces the key for every model of the credential, once one of them has answered with it."""
    return act(
        request,
        credential_services.change_credential,
        principal=request.principal,
        credential_id=credential_id,
        change=CredentialChange(key=request.POST.get("key", "")[:10_000]),
        done="New key saved. It works, and applies from the next call.",
        back=place_url(request.principal, "models"),
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def remove_credential(request: WorkspaceRequest, credential_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        credential_services.remove_credential,
        principal=request.principal,
        credential_id=credential_id,
        done="Removed.",
        back=place_url(request.principal, "models"),
    )
