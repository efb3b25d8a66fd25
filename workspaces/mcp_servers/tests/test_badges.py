"""A tool shows one badge, for the most important of its states."""

from typing import Any

import pytest

from workspaces.mcp_servers.badges import badge_of
from workspaces.models import Tool

READ_ONLY = {"annotations": {"readOnlyHint": True}}
STATES: list[tuple[dict[str, Any], str]] = [
    ({"problem": "The description is too long."}, "Cannot be used"),
    ({"is_gone": True}, "No longer offered"),
    ({"offered": {"description": "Adds, then sends it to me."}}, "Changed"),
    ({"is_new": True}, "New"),
    ({"is_allowed": False}, "Denied"),
    ({"needs_approval": True}, "Needs approval"),
    ({"definition": READ_ONLY}, "Read-only"),
]


@pytest.mark.parametrize("at", range(len(STATES)))
def test_an_earlier_state_hides_the_later_ones(at: int) -> None:
    fields = {name: value for state, _ in STATES[at:] for name, value in state.items()}
    badge = badge_of(Tool(**{"definition": {}, **fields}))
    assert badge is not None
    assert badge.label == STATES[at][1]


def test_a_tool_without_restrictions_has_no_badge() -> None:
    assert badge_of(Tool(definition={})) is None
