"""The pages of the catalogue: who there is to choose from, and installing some of their models with a key."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import blame, needs
from accounts.page_urls import place_url
from accounts.policy import Action
from accounts.principals import Principal
from kit.errors import DomainError, NotFound
from workspaces.language_models import services
from workspaces.language_models.catalogue import CatalogueProvider, find_provider, read_catalogue
from workspaces.language_models.catalogue_install import install_from_catalogue
from workspaces.language_models.pages.models import NEW, key_input, save
from workspaces.language_models.probe import Prober
from workspaces.language_models.queries import ref_of


class ChooseForm(forms.Form):
    """Which models of a provider, and by which key."""

    models = forms.MultipleChoiceField(label="Models", widget=forms.CheckboxSelectMultiple)
    credential_id = forms.ChoiceField(label="Saved key", choices=[], required=False)
    key = forms.CharField(
        label="API key",
        max_length=10_000,
        required=False,
        widget=key_input(),
        help_text="Stored encrypted and never shown again.",
    )
    base_url = forms.CharField(label="URL", max_length=500, required=False)
    enabled = forms.BooleanField(label="Enable for everyone in this workspace now", required=False)
    test = forms.BooleanField(label="Test the connection before saving", required=False, initial=True)

    def __init__(self, principal: Principal, provider: CatalogueProvider, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["models"].choices = [(model.slug, model.name) for model in provider.models]
        known = [row for row in services.credentials_of(principal) if row.kind == provider.kind]
        same = [(str(row.id), row.name) for row in known if provider.base_url in ("", row.base_url)]
        fields["credential_id"].choices = [("", "New key"), *same]
        if not same:
            del fields["credential_id"]
        if not provider.wants_address:
            del fields["base_url"]

    def wish(self) -> dict[str, Any]:
        sent = self.cleaned_data
        chosen = sent.get("credential_id")
        return {
            "key": sent["key"],
            "base_url": sent.get("base_url", ""),
            "credential_id": UUID(chosen) if chosen else None,
            "enabled": sent["enabled"],
        }


@require_GET
@needs(Action.MODELS_CHANGE)
def catalogue(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Providers to choose from, and the way to any other."""
    return render(request, "language_models/catalogue.html", {"catalogue": read_catalogue(), "new": NEW})


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def install(request: WorkspaceRequest, provider: str, prober: Prober, **place: str) -> HttpResponse:
    """Its models to tick, and a key: nothing is kept that the provider refuses."""
    try:
        found = find_provider(provider)
    except NotFound as exc:
        raise Http404 from exc
    if not found.models:
        return redirect(f"{place_url(request.principal, 'install_model')}?provider={found.slug}")
    form = ChooseForm(request.principal, found, request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen = found.chosen(form.cleaned_data["models"])
        try:
            rows = save(
                prober if form.cleaned_data["test"] else None,
                request.principal,
                lambda: install_from_catalogue(
                    principal=request.principal, provider=found, models=chosen, **form.wish()
                ),
                lambda rows: ref_of(rows[0]),
            )
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, _words(len(rows), is_tested=form.cleaned_data["test"]))
            return redirect(place_url(request.principal, "models"))
    context = {"form": form, "provider": found, "ticked": _ticked(form, found)}
    return render(request, "language_models/choose.html", context)


def _ticked(form: ChooseForm, provider: CatalogueProvider) -> list[str]:
    """What was chosen; at first the newest, so that a key is all that is left to give."""
    if form.is_bound:
        return list(form["models"].value() or [])
    return [provider.models[0].slug]


def _words(number: int, *, is_tested: bool) -> str:
    models = "1 model" if number == 1 else f"{number} models"
    found = "The key works and the model answers. " if is_tested else ""
    return f"{found}{models} installed."
