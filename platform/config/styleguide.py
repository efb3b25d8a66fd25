"""The styleguide: every component of the web UI on one page, in both themes; for development only."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

CODE = '''\
def admit(turn: Turn, budget: Budget) -> Reservation:
    """Refuse rather than overdraw."""
    if budget.used + turn.bound > 1_000_000:  # tokens
        raise QuotaExceeded(limit=budget.limit)
    return Reservation(turn, state="held")
'''


def sample() -> dict[str, Any]:
    """Sample data for the components."""
    return {
        "themes": ["light", "dark"],
        "code": highlight(CODE, PythonLexer(), HtmlFormatter(nowrap=True)),
        "options": [
            {"value": "local", "label": "SmolLM2 135M", "selected": True},
            {"value": "large", "label": "A larger model"},
        ],
        "suggestions": ["Europe/Berlin", "Europe/Paris", "America/New_York"],
        "tabs": [
            {"label": "General", "url": "#", "current": True},
            {"label": "Members", "url": "#"},
            {"label": "API keys", "url": "#"},
        ],
        "menu": [
            {"label": "Rename", "icon": "pencil", "url": "#"},
            {"label": "Copy the link", "icon": "copy", "url": "#"},
            {"label": "Delete", "icon": "trash", "url": "#", "danger": True},
        ],
        "rows": [
            {"name": "SmolLM2 135M", "enabled": True, "window": 4096},
            {"name": "A larger model", "enabled": False, "window": 200_000},
        ],
    }


def styleguide(request: HttpRequest) -> HttpResponse:
    return render(request, "styleguide.html", {**sample(), "frame": None})
