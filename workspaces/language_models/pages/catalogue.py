"""The pages of the catalogue: its providers, and installing models of one with a key."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import form_page, needs
from accounts.page_urls import page_url
from accounts.policy import Action
from kit.errors import NotFound
from workspaces.language_models.catalogue import CatalogueProvider, find_provider, read_catalogue
from workspaces.language_models.catalogue_install import install_from_catalogue
from workspaces.language_models.forms import NEW, CatalogueForm


@require_GET
@needs(Action.MODELS_CHANGE)
def catalogue(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """Lists the providers; any other can be added by its URL."""
    return render(request, "language_models/catalogue.html", {"catalogue": read_catalogue(), "new": NEW})


@require_http_methods(["GET", "POST"])
@needs(Action.MODELS_CHANGE)
def install(request: WorkspaceRequest, provider: str, **slugs: str) -> HttpResponse:
    """Installs the selected models with a key; nothing is stored if the provider refuses."""
    try:
        found = find_provider(provider)
    except NotFound as exc:
        raise Http404 from exc
    if not found.models:
        return redirect(f"{page_url(request.principal, 'install_model')}?provider={found.slug}")
    form = CatalogueForm(request.principal, found, request.POST or None)
    context = {"form": form, "provider": found, "ticked": _selected(form, found)}

    def save() -> str:
        chosen = form.chosen()
        rows = install_from_catalogue(principal=request.principal, chosen=chosen)
        return _message(len(rows), is_tested=chosen.test)

    return form_page(
        request,
        form,
        save=save,
        done=lambda message: message,
        back=page_url(request.principal, "models"),
        page=lambda: render(request, "language_models/choose.html", context),
    )


def _selected(form: CatalogueForm, provider: CatalogueProvider) -> list[str]:
    """The sent selection; in a new form the newest model, so that only the key is missing."""
    if form.is_bound:
        return list(form["models"].value() or [])
    return [provider.models[0].slug]


def _message(number: int, *, is_tested: bool) -> str:
    models = "1 model" if number == 1 else f"{number} models"
    tested = "The key works and the model answers. " if is_tested else ""
    return f"{tested}{models} installed."
