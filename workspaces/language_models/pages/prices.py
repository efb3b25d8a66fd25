"""The page on which owners and admins set the price of a model."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import form_page, needs
from accounts.page_urls import page_url
from accounts.policy import Action
from quotas.models.prices import MOST_PRICE
from quotas.prices import MILLION
from quotas.workspace_prices import KINDS, prices_of, set_price
from workspaces.language_models.inputs import PriceInput
from workspaces.language_models.queries import find_model

PRICES_SHOWN = 50


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
    """Amounts of the currency per million tokens."""

    input = price_field("Input", required=True)
    output = price_field("Output", required=True)
    cached_input = price_field("Cached input", required=False, hint="Leave empty to use the input price.")
    reasoning = price_field("Reasoning", required=False, hint="Leave empty to use the output price.")

    def price(self) -> PriceInput:
        sent = self.cleaned_data
        amounts: dict[str, Any] = {
            kind: None if sent[kind] is None else int(sent[kind] * MILLION) for kind in KINDS
        }
        return PriceInput(**amounts)


@require_http_methods(["GET", "POST"])
@needs(Action.BUDGETS_TEAM)
def price(request: WorkspaceRequest, model: str, **slugs: str) -> HttpResponse:
    """Sets the price from now on, and lists the earlier prices."""
    principal = request.principal
    row = find_model(workspace_id=principal.workspace.id, slug=model)
    form = PriceForm(request.POST or None)
    context = {
        "form": form,
        "model": row,
        "prices": prices_of(principal, row.slug)[:PRICES_SHOWN],
        "currency": settings.CURRENCY,
    }
    return form_page(
        request,
        form,
        save=lambda: set_price(principal=principal, model=row.slug, **asdict(form.price())),
        done=f"Price of {row.name} saved. It applies from now on.",
        back=page_url(principal, "models"),
        page=lambda: render(request, "workspaces/price.html", context),
    )
