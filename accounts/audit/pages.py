"""The page of the team's audit."""

from typing import Any

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.audit.queries import AuditFilter, entries_of
from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import needs, problem_text
from accounts.pagination import page_of
from accounts.policy import Action
from kit.errors import DomainError


@require_GET
@needs(Action.AUDIT_VIEW)
def audit(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """The entries, narrowed by action, person and time."""
    problem, rows = "", entries_of(request.principal)
    try:
        rows = AuditFilter.parse(_with_hours(request.GET)).apply(rows)
    except DomainError as wrong:
        problem = problem_text(wrong)
    shown = page_of(request, rows, moment="at", newest_first=True)
    for row in shown.rows:
        row.shown_changes = [
            (name, _text(before), _text(after)) for name, (before, after) in row.changes.items()
        ]
    return render(
        request, "settings/audit.html", {"entries": shown, "wanted": request.GET, "problem": problem}
    )


def _text(value: Any) -> str:
    """A value from an entry's changes, for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "none" if value is None or value == "" else str(value)


def _with_hours(query: QueryDict) -> dict[str, str]:
    """A browser's date field sends days: they begin at midnight UTC."""
    plain = {name: str(text).replace("\0", "") for name, text in query.items()}
    for name in ("since", "until"):
        if len(plain.get(name, "")) == len("2026-01-31"):
            plain[name] += "T00:00:00Z"
    return plain
