"""Tool calls in a resumed stream: repeated steps, empty results, odd nesting."""

from typing import Any

from gateway.engines.events import ToolCall, ToolResult
from gateway.engines.librechat.tests.playback import (
    completed,
    frame,
    of_type,
    piece,
    play,
    said,
    step,
    text_of,
    used,
)
from gateway.providers.sse import Frame

FIRST: dict[str, Any] = {"id": "c1", "name": "add_mcp_calc", "args": ""}
SECOND: dict[str, Any] = {"id": "c2", "name": "fail_mcp_calc", "args": ""}


def sync(*content: dict[str, Any], calls: tuple[dict[str, Any], ...] = (), **more: Any) -> Frame:
    steps = [{"id": "s1", "stepDetails": {"type": "tool_calls", "tool_calls": list(calls)}}]
    state = {"aggregatedContent": list(content), "runSteps": steps if calls else []}
    return frame({"sync": True, "resumeState": state, **more})


def shown(frames: list[Frame]) -> dict[str, Any]:
    """The arguments by the call's id."""
    return {call.call_id: call.arguments for call in of_type(play(frames), ToolCall)}


def test_a_repeated_step_leaves_the_order_of_its_calls() -> None:
    """Pieces without an id say only which of the step's calls they belong to."""
    frames = [step("s1", FIRST), sync(calls=(FIRST, SECOND)), sync(calls=(FIRST, SECOND))]
    pieces = [piece("s1", '{"b": 2}', index=1), piece("s1", '{"a": 1}', index=0)]
    assert shown([*frames, *pieces, used()]) == {"c1": {"a": 1}, "c2": {"b": 2}}


def test_a_call_answered_before_the_break_keeps_its_index() -> None:
    frames = [completed("c1", "add_mcp_calc", '{"a": 1}', "1.0"), sync(calls=(FIRST, SECOND))]
    pieces = [piece("s1", "late", index=0), piece("s1", '{"b": 2}', index=1)]
    assert shown([*frames, *pieces, used()]) == {"c1": {"a": 1}, "c2": {"b": 2}}


def test_an_empty_output_is_a_result() -> None:
    part = {"type": "tool_call", "tool_call": {**FIRST, "args": "{}", "progress": 1}}
    call, result = play([sync(part)])
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert result.output == ""


def test_a_tools_server_follows_the_last_separator() -> None:
    (call,) = of_type(play([completed("c1", "read_mcp_file_mcp_disk", "{}", "x")]), ToolCall)
    assert (call.tool, call.server) == ("read_mcp_file", "disk")


def test_a_name_in_the_first_piece_is_read() -> None:
    nameless = {"id": "c1", "args": ""}
    frames = [step("s1", nameless), piece("s1", "{}", id="c1", name="add_mcp_calc"), used()]
    (call,) = of_type(play(frames), ToolCall)
    assert (call.tool, call.server, call.arguments) == ("add", "calc", {})


def test_nested_sync_frames_are_ignored() -> None:
    inner: dict[str, Any] = {
        "sync": True,
        "resumeState": {"aggregatedContent": [{"type": "text", "text": "no"}]},
    }
    for _ in range(300):
        inner = {"sync": True, "pendingEvents": [inner]}
    assert text_of(play([frame(inner), said("text", "yes")])) == "yes"
