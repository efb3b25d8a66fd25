"""The pages of language models: what is installed, installing one, and the credentials that they use."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import act, blame, needs
from accounts.page_urls import place_url
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import DomainError
from quotas.workspace_prices import rates_in_force
from workspaces.language_models import services
from workspaces.language_models.catalogue import CatalogueProvider, read_catalogue
from workspaces.language_models.forms import ModelForm
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.language_models.probe import Prober, probe, save_probed
from workspaces.language_models.queries import ModelRef, find_model, known_models, probe_ref, ref_of

T = TypeVar("T")
MOST_TOKENS = 2**31 - 1
NEW = "new"


def key_input() -> forms.PasswordInput:
    return forms.PasswordInput(attrs={"autocomplete": "off"})


class InstallForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)
    slug = forms.CharField(
        label="API name",
        max_length=60,
        help_text="Lowercase letters, digits, dots and hyphens. Used in API calls.",
    )
    upstream_name = forms.CharField(label="Model ID at the provider", max_length=100)
    context_window = forms.IntegerField(
        label="Context window (tokens)",
        min_value=2,
        max_value=MOST_TOKENS,
        initial=128_000,
        help_text="How much of the conversation the model can read.",
    )
    output_bound = forms.IntegerField(
        label="Default reply limit (tokens)",
        min_value=1,
        max_value=MOST_TOKENS,
        initial=4_096,
        help_text="Used when a request sets no limit.",
    )
    abilities = forms.MultipleChoiceField(
        label="Capabilities",
        choices=LanguageModel.Ability.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    credential = forms.ChoiceField(label="Credential", choices=[])
    kind = forms.ChoiceField(label="Provider", choices=ProviderCredential.Kind.choices, required=False)
    credential_name = forms.CharField(label="Credential name", max_length=100, required=False)
    base_url = forms.CharField(
        label="URL",
        max_length=500,
        required=False,
        help_text="The URL of the provider's API, https://… Leave empty for OpenAI and Anthropic.",
    )
    key = forms.CharField(
        label="API key",
        max_length=10_000,
        required=False,
        widget=key_input(),
        help_text="Stored encrypted and never shown again.",
    )
    enabled = forms.BooleanField(label="Enable for everyone in this workspace now", required=False)
    test = forms.BooleanField(label="Test the connection before saving", required=False, initial=True)

    def __init__(self, principal: Principal, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(str(row.id), row.name) for row in services.credentials_of(principal)]
        self.fields["credential"].choices = [(NEW, "New credential"), *known]  # type: ignore[attr-defined]


def save(
    prober: Prober | None, principal: Principal, work: Callable[[], T], ref: Callable[[T], ModelRef]
) -> T:
    """What `work` saves, after the provider was asked where there is a prober to ask it."""
    if prober is None:
        return work()
    return save_probed(prober=prober, principal=principal, save=work, ref=ref)


@require_GET
@needs(Action.MODELS_VIEW)
def models(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Those that may be used; for managers all of them, to be enabled and removed."""
    changes = may(request.principal, Action.MODELS_CHANGE)
    rows = known_models(request.principal)
    here = request.principal.workspace.id
    rates = rates_in_force(here, [(row.slug, row.provider, row.upstream_name) for row in rows])
    context = {
        "models": [{"model": row, "rates": rates.get(row.slug)} for row in rows],
        "credentials": list(services.credentials_of(request.principal)) if changes else [],
    }
    return render(request, "language_models/list.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def install(request: WorkspaceRequest, prober: Prober, **place: str) -> HttpResponse:
    """A model of a provider, with a credential that is there or a new one: both, or neither.

    `?provider=` fills in what the catalogue knows of one that brings no models along.
    """
    listed = _listed(request.GET.get("provider", ""))
    form = InstallForm(request.principal, request.POST or None, initial=_initial(listed))
    if request.method == "POST" and form.is_valid():
        sent = form.cleaned_data
        tested = prober if sent["test"] else None
        try:
            save(tested, request.principal, lambda: _install(request.principal, sent), ref_of)
        except DomainError as problem:
            blame(form, problem)
        else:
            done = "Model installed. The key works and the model answers." if tested else "Model installed."
            messages.success(request, done)
            return redirect(place_url(request.principal, "models"))
    return render(request, "language_models/install.html", {"form": form, "provider": listed})


def _listed(slug: str) -> CatalogueProvider | None:
    return next((row for row in read_catalogue().providers if row.slug == slug), None)


def _initial(listed: CatalogueProvider | None) -> dict[str, Any]:
    if listed is None:
        return {}
    return {"kind": listed.kind, "base_url": listed.base_url, "credential_name": listed.name}


@transaction.atomic
def _install(principal: Principal, sent: dict[str, Any]) -> LanguageModel:
    credential_id = sent["credential"]
    if credential_id == NEW:
        credential_id = services.create_credential(
            principal=principal,
            name=sent["credential_name"] or sent["name"],
            kind=sent["kind"] or ProviderCredential.Kind.COMPATIBLE.value,
            key=sent["key"],
            base_url=sent["base_url"],
        ).id
    named = ("slug", "upstream_name", "name", "context_window", "output_bound", "abilities", "enabled")
    return services.add_model(
        principal=principal,
        credential_id=UUID(str(credential_id)),
        **{name: sent[name] for name in named},
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def change_models(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Enables or disables those that are ticked."""
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
    """One model: its name, bound, parameters, who may use it and who stands in for it."""
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    form = ModelForm(request.principal, found, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_model(principal=request.principal, slug=found.slug, **form.wish())
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
def test(request: WorkspaceRequest, model: str, prober: Prober, **place: str) -> HttpResponse:
    """Asks it something short now."""
    found = find_model(workspace_id=request.principal.workspace.id, slug=model)
    return act(
        request,
        probe,
        prober=prober,
        principal=request.principal,
        model=found,
        done=f"{found.name} works.",
        back=place_url(request.principal, "model", model=found.slug),
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def rotate(request: WorkspaceRequest, credential_id: UUID, prober: Prober, **place: str) -> HttpResponse:
    """A new key for every model of the credential, once one of them has answered by it."""
    key = request.POST.get("key", "")[:10_000]

    def change() -> ProviderCredential:
        return services.change_credential(principal=request.principal, credential_id=credential_id, key=key)

    return act(
        request,
        save,
        prober=prober,
        principal=request.principal,
        work=change,
        ref=probe_ref,
        done="New key saved. It works, and applies from the next call.",
        back=place_url(request.principal, "models"),
    )


@require_POST
@needs(Action.MODELS_CHANGE)
def remove_credential(request: WorkspaceRequest, credential_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        services.remove_credential,
        principal=request.principal,
        credential_id=credential_id,
        done="Removed.",
        back=place_url(request.principal, "models"),
    )
