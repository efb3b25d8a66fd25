"""The usage page: the principal's own usage, the workspace's or the team's, by day and by category."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import needs
from accounts.page_urls import page_url
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import InvalidInput
from kit.inputs import form_field
from quotas.exports import EXPORTS, exported
from quotas.inputs import UsageFilter
from quotas.limits import limits_of
from quotas.pages.charts import day_chart
from quotas.planned_calls import Payer
from quotas.usage import Slice, break_down, slice_of
from quotas.windows import day_at

SCOPES = {"mine": "Yours", "workspace": "This workspace", "team": "The team"}
BY = {"model": "Model", "member": "Member", "api_key": "API key", "purpose": "Purpose"}


class PeriodForm(forms.Form):
    since = form_field(UsageFilter, "since", label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = form_field(UsageFilter, "until", label="To", widget=forms.DateInput(attrs={"type": "date"}))


@dataclass(frozen=True, slots=True)
class View:
    """The view that the query selects, as far as the principal may see it."""

    of: str
    by: str
    wanted: Slice
    problem: str = ""

    def query(self, **other: str) -> str:
        query = {
            "of": self.of,
            "by": self.by,
            "since": str(self.wanted.first),
            "until": str(self.wanted.last),
        }
        return "?" + urlencode({**query, **other})


@require_GET
@needs(Action.USAGE_VIEW)
def usage(request: WorkspaceRequest, **route: str) -> HttpResponse:
    """The budgets that apply, a bar per day, and a table by model, member, key, purpose or workspace."""
    view = _view(request.principal, request.GET)
    days, groups = break_down(view.wanted, "day"), break_down(view.wanted, view.by)
    context = {
        "view": view,
        "form": PeriodForm(initial={"since": view.wanted.first, "until": view.wanted.last}),
        "faces": _tabs(view, "of", _scopes(request.principal), SCOPES),
        "columns": _tabs(view, "by", _columns(view.of), BY | {"workspace": "Workspace"}),
        "periods": _periods(view, request.principal),
        "limits": limits_of(Payer.of(request.principal)),
        "chart": day_chart(days.groups),
        "days": days.groups,
        "groups": groups,
        "busiest": max((group.used.tokens for group in groups.groups), default=0),
        "currency": settings.CURRENCY,
        "exports": [
            {
                "label": form.upper(),
                "url": page_url(request.principal, "export_usage", form=form) + view.query(),
            }
            for form in EXPORTS
        ],
    }
    return render(request, "usage/usage.html", context)


@require_GET
@needs(Action.USAGE_VIEW)
def export(request: WorkspaceRequest, form: str, **route: str) -> StreamingHttpResponse:
    """The ledger's lines of the usage on the page."""
    return exported(_view(request.principal, request.GET).wanted, form)


def _scopes(principal: Principal) -> list[str]:
    scopes = ["mine"]
    if may(principal, Action.USAGE_EVERYBODY):
        scopes.append("workspace")
    if may(principal, Action.USAGE_TEAM):
        scopes.append("team")
    return scopes


def _columns(of: str) -> list[str]:
    return {
        "mine": ["model", "api_key", "purpose", "workspace"],
        "workspace": ["model", "member", "api_key", "purpose"],
        "team": ["workspace", "model", "member", "api_key", "purpose"],
    }[of]


def _view(principal: Principal, query: QueryDict) -> View:
    """Invalid parameters are ignored: the page then shows the current month."""
    scopes = _scopes(principal)
    of = (
        query.get("of", "")
        if query.get("of") in scopes
        else ("workspace" if "workspace" in scopes else "mine")
    )
    by = query.get("by", "") if query.get("by") in _columns(of) else _columns(of)[0]
    user_id = principal.user_id if of == "mine" else None
    workspace_id = principal.workspace.id if of == "workspace" else None
    slice_between = partial(slice_of, principal.tenant, user_id=user_id, workspace_id=workspace_id)
    form = PeriodForm(query)
    days = (form.cleaned_data["since"], form.cleaned_data["until"]) if form.is_valid() else (None, None)
    problem = "" if form.is_valid() else "Invalid dates. Showing this month."
    try:
        return View(of, by, slice_between(*days), problem)
    except InvalidInput as wrong:
        text = next(iter(wrong.details.values()))[0]
        return View(of, by, slice_between(None, None), f"{text} Showing this month.")


def _tabs(view: View, name: str, shown: list[str], labels: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"label": labels[one], "url": view.query(**{name: one}), "current": getattr(view, name) == one}
        for one in shown
    ]


def _periods(view: View, principal: Principal) -> list[dict[str, Any]]:
    today = day_at(timezone.now(), principal.tenant.time_zone)
    first = today.replace(day=1)
    last_of_previous = first - timedelta(days=1)
    spans: list[tuple[str, date, date]] = [
        ("This month", first, today),
        ("Last month", last_of_previous.replace(day=1), last_of_previous),
        ("7 days", today - timedelta(days=6), today),
        ("30 days", today - timedelta(days=29), today),
    ]
    return [
        {
            "label": label,
            "url": view.query(since=str(since), until=str(until)),
            "current": (view.wanted.first, view.wanted.last) == (since, until),
        }
        for label, since, until in spans
    ]
