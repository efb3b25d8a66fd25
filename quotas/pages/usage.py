"""The usage pages: one's own use, the workspace's and the team's, by day and by what it was for."""

from dataclasses import dataclass
from datetime import date, timedelta
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
from accounts.page_urls import place_url
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import InvalidInput
from quotas.calls import Payer
from quotas.exports import EXPORTS, exported
from quotas.limits import limits_of
from quotas.pages.charts import day_chart
from quotas.usage import Slice, break_down, slice_of
from quotas.windows import day_at

FACES = {"mine": "Yours", "workspace": "This workspace", "team": "The team"}
BY = {"model": "Model", "member": "Member", "api_key": "API key", "purpose": "Purpose"}


class PeriodForm(forms.Form):
    since = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))


@dataclass(frozen=True, slots=True)
class View:
    """What the address asks for, as far as the person may see it."""

    of: str
    by: str
    wanted: Slice
    problem: str = ""

    def query(self, **other: str) -> str:
        kept = {"of": self.of, "by": self.by, "since": str(self.wanted.first), "until": str(self.wanted.last)}
        return "?" + urlencode({**kept, **other})


@require_GET
@needs(Action.USAGE_VIEW)
def usage(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """Budgets that apply, a bar a day, and a table by model, member, key, purpose or workspace."""
    view = _view(request.principal, request.GET)
    days, groups = break_down(view.wanted, "day"), break_down(view.wanted, view.by)
    context = {
        "view": view,
        "form": PeriodForm(initial={"since": view.wanted.first, "until": view.wanted.last}),
        "faces": _tabs(view, "of", _faces(request.principal), FACES),
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
                "url": place_url(request.principal, "export_usage", form=form) + view.query(),
            }
            for form in EXPORTS
        ],
    }
    return render(request, "usage/usage.html", context)


@require_GET
@needs(Action.USAGE_VIEW)
def export(request: WorkspaceRequest, form: str, **place: str) -> StreamingHttpResponse:
    """The ledger's lines of what the page shows."""
    return exported(_view(request.principal, request.GET).wanted, form)


def _faces(principal: Principal) -> list[str]:
    seen = ["mine"]
    if may(principal, Action.USAGE_EVERYBODY):
        seen.append("workspace")
    if may(principal, Action.USAGE_TEAM):
        seen.append("team")
    return seen


def _columns(of: str) -> list[str]:
    return {
        "mine": ["model", "api_key", "purpose", "workspace"],
        "workspace": ["model", "member", "api_key", "purpose"],
        "team": ["workspace", "model", "member", "api_key", "purpose"],
    }[of]


def _view(principal: Principal, asked: QueryDict) -> View:
    """What makes no sense in the address is left out: the page then shows the running month."""
    faces = _faces(principal)
    of = (
        asked.get("of", "") if asked.get("of") in faces else ("workspace" if "workspace" in faces else "mine")
    )
    by = asked.get("by", "") if asked.get("by") in _columns(of) else _columns(of)[0]
    whose: dict[str, Any] = {
        "mine": {"user_id": principal.user_id},
        "workspace": {"workspace_id": principal.workspace.id},
        "team": {},
    }[of]
    form = PeriodForm(asked)
    days = (form.cleaned_data["since"], form.cleaned_data["until"]) if form.is_valid() else (None, None)
    problem = "" if form.is_valid() else "Invalid dates. Showing this month."
    try:
        return View(of, by, slice_of(principal.tenant, *days, **whose), problem)
    except InvalidInput as wrong:
        text = next(iter(wrong.details.values()))[0]
        return View(of, by, slice_of(principal.tenant, None, None, **whose), f"{text} Showing this month.")


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
