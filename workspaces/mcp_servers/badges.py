"""The one badge that a tool shows: the most important thing to know about it."""

from dataclasses import dataclass

from workspaces.mcp_servers.models import Tool


@dataclass(frozen=True, slots=True)
class Badge:
    """`tone` is one of `components/badge.html`."""

    label: str
    tone: str = ""


def badge_of(tool: Tool) -> Badge | None:
    """States that prevent its use come first, then those to review, then how it may be used."""
    states = (
        (bool(tool.problem), Badge("Cannot be used", "danger")),
        (tool.is_gone, Badge("No longer offered")),
        (tool.offered is not None, Badge("Changed", "warning")),
        (tool.is_new, Badge("New", "warning")),
        (not tool.is_allowed, Badge("Denied")),
        (tool.needs_approval, Badge("Needs approval", "accent")),
        (tool.only_reads, Badge("Read-only")),
    )
    return next((badge for applies, badge in states if applies), None)
