"""The pages of language models: the list, installing and changing a model, and credentials."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import act, button, form_page, needs
from accounts.page_urls import page_url
from accounts.policy import Action, may
from accounts.principals import Principal
from quotas.workspace_prices import rates_in_force
from workspaces.language_models import credential_services, services
from workspaces.language_models.catalogue import CatalogueProvider, read_catalogue
from workspaces.language_models.forms import InstallForm, ModelForm
from workspaces.language_models.inputs import LONGEST_KEY, MOST_MODELS, CredentialChange
from workspaces.language_models.queries import find_model, known_models


@require_GET
@needs(Action.MODELS_VIEW)
def models(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
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
def install(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """Installs a model with an existing credential or a new one.

    `?provider=` fills in the known fields of a catalogue provider that lists no models.
    """
    listed = _listed(request.GET.get("provider", ""))
    form = InstallForm(request.principal, request.POST or None, initial=_initial(listed))

    def save() -> bool:
        is_tested: bool = form.cleaned_data["test"]
        services.add_model(
            principal=request.principal,
            model=form.model(),
            credential=form.chosen_credential(),
            is_tested=is_tested,
        )
        return is_tested

    return form_page(
        request,
        form,
        save=save,
        done=lambda is_tested: (
            f"Model installed.{' The key works and the model answers.' if is_tested else ''}"
        ),
        back=page_url(request.principal, "models"),
        page=lambda: render(request, "language_models/install.html", {"form": form, "provider": listed}),
    )


def _listed(slug: str) -> CatalogueProvider | None:
    return next((row for row in read_catalogue().providers if row.slug == slug), None)


def _initial(listed: CatalogueProvider | None) -> dict[str, Any]:
    if listed is None:
        return {}
    return {"kind": listed.kind, "base_url": listed.base_url, "credential_name": listed.name}


def _selection(request: WorkspaceRequest, principal: Principal) -> dict[str, Any]:
    slugs = [slug.replace("\0", "") for slug in request.POST.getlist("models")[:MOST_MODELS]]
    return {"slugs": slugs, "enabled": request.POST.get("enabled") == "1"}


change_models = button(
    needs(Action.MODELS_CHANGE),
    services.change_models,
    reads=_selection,
    done=lambda request, principal: "Enabled." if request.POST.get("enabled") == "1" else "Disabled.",
    back="models",
)


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def model(request: WorkspaceRequest, model: str, **slugs: str) -> HttpResponse:
    """A model: its name, limits, parameters, access and fallback."""
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    form = ModelForm(request.principal, found, request.POST or None)
    return form_page(
        request,
        form,
        save=lambda: services.change_model(
            principal=request.principal, slug=found.slug, change=form.change()
        ),
        done="Saved.",
        back=page_url(request.principal, "model", model=found.slug),
        page=lambda: render(request, "language_models/model.html", {"form": form, "model": found}),
    )


remove = button(
    needs(Action.MODELS_CHANGE),
    services.remove_model,
    reads=lambda request, principal, model: {"slug": model},
    done="Removed.",
    back="models",
)


@require_POST
@needs(Action.MODELS_CHANGE)
def test(request: WorkspaceRequest, model: str, **slugs: str) -> HttpResponse:
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    return act(
        request,
        services.test_model,
        principal=request.principal,
        slug=found.slug,
        done=f"{found.name} works.",
        back=page_url(request.principal, "model", model=found.slug),
    )


def _new_key(request: WorkspaceRequest, principal: Principal, credential_id: UUID) -> dict[str, Any]:
    change = CredentialChange(key=request.POST.get("key", "")[:LONGEST_KEY])
    return {"credential_id": credential_id, "change": change}


rotate = button(
    needs(Action.MODELS_CHANGE),
    credential_services.change_credential,
    reads=_new_key,
    done="New key saved. It works, and applies from the next call.",
    back="models",
)
remove_credential = button(
    needs(Action.MODELS_CHANGE), credential_services.remove_credential, done="Removed.", back="models"
)
