"""A reply as the page shows it."""

from typing import Any

import pytest

from gateway.api.reply_parts import reply_parts
from gateway.calls.tool_runs import REFUSED, UNANSWERED


@pytest.mark.parametrize(
    ("output", "words"),
    [(REFUSED, "Refused"), (UNANSWERED, "No answer in time"), ("No such file.", "Failed"), ({}, "Failed")],
)
def test_a_card_says_why_a_tool_call_has_no_result(output: Any, words: str) -> None:
    call = {"type": "tool_call", "call_id": "1", "server": "disk", "tool": "wipe", "arguments": {}}
    result = {"type": "tool_result", "call_id": "1", "output": output, "is_error": True, "duration_ms": 5}
    [part] = reply_parts([call, result], "", is_running=False)
    assert part["tool"]["told"] == words
