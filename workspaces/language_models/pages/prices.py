"""The page on which those who run the team say what a model costs."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import blame, needs
from accounts.page_urls import place_url
from accounts.policy import Action
from kit.errors import DomainError
from quotas.models.prices import MOST_PRICE
from quotas.prices import MILLION
from quotas.workspace_prices import KINDS, prices_of, set_price
from workspaces.language_models.queries import find_model

SHOWN = 50  # of a model's prices


def price_field(label: str, *, required: bool, hint: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=required,
        min_value=0,
        max_value=Decimal(MOST_PRICE // MILLION),
        decimal_places=6,
        help_text=hint,
    )


class PriceForm(forms.Form):
    """Amounts of the currency for a million tokens."""

    input = price_field("Input", required=True)
    output = price_field("Output", required=True)
    cached_input = price_field("Cached input", required=False, hint="Leave empty to use the input price.")
    reasoning = price_field("Reasoning", required=False, hint="Leave empty to use the output price.")

    def figures(self) -> dict[str, Any]:
        sent = self.cleaned_data
        return {kind: None if sent[kind] is None else int(sent[kind] * MILLION) for kind in KINDS}


@require_http_methods(["GET", "POST"])
@needs(Action.BUDGETS_TEAM)
def price(request: WorkspaceRequest, model: str, **place: str) -> HttpResponse:
    """What the model costs from now on, and what it cost before."""
    principal = request.principal
    row = find_model(workspace_id=principal.workspace.id, slug=model)
    form = PriceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            set_price(place=principal, model=row.slug, **form.figures())
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, f"Price of {row.name} saved. It applies from now on.")
            return redirect(place_url(principal, "models"))
    prices = prices_of(principal, row.slug)[:SHOWN]
    context = {"form": form, "model": row, "prices": prices, "currency": settings.CURRENCY}
    return render(request, "workspaces/price.html", context)
