"""Tool calls in a stream: each is sent once its arguments are complete, answered once, and storable."""

import json
from typing import Any

import pytest

from gateway.engines.events import Event, ToolCall, ToolResult
from gateway.engines.librechat.tests.playback import (
    completed,
    final,
    frame,
    of_type,
    piece,
    play,
    reader,
    said,
    step,
    text_of,
    used,
)
from gateway.providers.sse import Frame

ADD: dict[str, Any] = {"id": "c1", "name": "add_mcp_calc", "args": ""}
FAIL: dict[str, Any] = {"id": "c2", "name": "fail_mcp_calc", "args": ""}
PIECES = [piece("s1", '{"a": 2', id="c1", index=0), piece("s1", ', "b"', index=0), piece("s1", ": 40}")]


def events_in(frames: list[Frame]) -> list[tuple[type, str]]:
    return [(type(item), item.call_id) for item in play(frames) if isinstance(item, ToolCall | ToolResult)]


def arguments_in(frames: list[Frame]) -> Any:
    (call,) = of_type(play(frames), ToolCall)
    return call.arguments


def test_arguments_in_pieces_are_joined_before_the_call_is_sent() -> None:
    begun = [step("s1", ADD), *PIECES]
    assert play(begun) == []
    assert arguments_in([*begun, used()]) == {"a": 2, "b": 40}
    assert arguments_in([*begun, said("text", "Well")]) == {"a": 2, "b": 40}


def test_a_call_seen_only_when_answered_is_sent_before_its_result() -> None:
    frames = [step("s1", ADD), completed("c1", "add_mcp_calc", '{"a": 1}', "1.0")]
    assert events_in(frames) == [(ToolCall, "c1"), (ToolResult, "c1")]


def test_a_result_of_an_unseen_call_sends_both() -> None:
    call, answer = play([completed("c1", "look", "{}", "nothing")])
    assert call == ToolCall("c1", None, "look", {})
    assert isinstance(answer, ToolResult)
    assert answer.output == "nothing"


@pytest.mark.parametrize("steps", [[step("s1", ADD), step("s2", FAIL)], [step("s1", ADD, FAIL)]])
def test_parallel_calls_keep_their_own_arguments(steps: list[Frame]) -> None:
    other = "s2" if len(steps) == 2 else "s1"
    pieces = [
        piece("s1", '{"a"', index=0),
        piece(other, '{"reason"', index=1),
        piece("s1", ": 1}", index=0),
        piece(other, ': "x"}', index=1),
    ]
    answers = [completed("c2", "fail_mcp_calc", "", "two"), completed("c1", "add_mcp_calc", "", "one")]
    items = play([*steps, *pieces, used(), *answers])
    calls = {call.call_id: call.arguments for call in of_type(items, ToolCall)}
    assert calls == {"c1": {"a": 1}, "c2": {"reason": "x"}}
    assert [answer.output for answer in of_type(items, ToolResult)] == ["two", "one"]


def test_repeated_frames_are_sent_once() -> None:
    answer = completed("c1", "add_mcp_calc", "{}", "1.0")
    begun = [step("s1", ADD), step("s1", ADD), used()]
    assert events_in([*begun, used(), answer, answer, *begun]) == [(ToolCall, "c1"), (ToolResult, "c1")]


@pytest.mark.parametrize(
    "output", ["Error executing tool fail: no", 'Error processing tool: Tool "x" not found.']
)
def test_a_failed_tools_result_is_an_error(output: str) -> None:
    (answer,) = of_type(play([completed("c1", "fail_mcp_calc", "{}", output)]), ToolResult)
    assert (answer.output, answer.is_error) == (output, True)


def test_an_output_that_is_not_text_becomes_json_and_none_becomes_empty() -> None:
    parts = [{"type": "text", "text": "hi"}]
    (answer,) = of_type(play([completed("c1", "look", "{}", parts)]), ToolResult)
    assert json.loads(answer.output) == parts
    (answer,) = of_type(play([completed("c1", "look", "{}", None)]), ToolResult)
    assert (answer.output, answer.is_error) == ("", False)


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ("", {}),
        ('{"a": ', '{"a": '),
        ('{"a": "x\\u0000y", "\\ud83d": "\\ude00"}', {"a": "x\ufffdy", "\ufffd": "\ufffd"}),
        ({"a": ["x\0y"], "b": {"\ud800": 1}}, {"a": ["x\ufffdy"], "b": {"\ufffd": 1}}),
        ("\0\ud83d", "\ufffd\ufffd"),
        ('{"a": NaN, "b": [1e999, -Infinity, 1.5, true]}', {"a": "nan", "b": ["inf", "-inf", 1.5, True]}),
        ("[" * 5000, "[" * 5000),
        ("[" * 600 + "]" * 600, "[" * 600 + "]" * 600),
    ],
)
def test_arguments_can_be_stored_in_a_database(args: Any, shown: Any) -> None:
    assert arguments_in([step("s1", {**ADD, "args": args}), used()]) == shown


def test_a_running_call_keeps_its_arguments_across_a_break() -> None:
    """The frames between break and resume are lost; `aggregatedContent` has their content."""
    call = {**ADD, "args": '{"a": 2, "b"', "progress": 0.1}
    steps = [{"id": "s1", "stepDetails": {"type": "tool_calls", "tool_calls": [ADD]}}]
    state = {"aggregatedContent": [{"type": "tool_call", "tool_call": call}], "runSteps": steps}
    sync = frame({"sync": True, "resumeState": state, "pendingEvents": []})
    rest = [sync, piece("s1", ": 40}", index=0), used()]
    assert arguments_in(rest) == {"a": 2, "b": 40}
    assert arguments_in([step("s1", ADD), PIECES[0], *rest]) == {"a": 2, "b": 40}


def test_events_that_waited_for_a_resuming_reader_are_read_too() -> None:
    text = {"type": "text", "text": "Hello"}
    pending = [
        {"event": "on_message_delta", "data": {"delta": {"content": [{"type": "text", "text": " there"}]}}},
        {"sync": True, "resumeState": {"aggregatedContent": [{"type": "text", "text": "not this"}]}},
    ]
    sync = frame({"sync": True, "resumeState": {"aggregatedContent": [text]}, "pendingEvents": pending})
    assert text_of(play([said("text", "Hel"), sync])) == "Hello there"


def test_a_call_cut_off_before_its_result_is_sent_at_the_end() -> None:
    call = {"type": "tool_call", "tool_call": {**ADD, "args": '{"a": 1}', "progress": 0.1}}
    assert events_in([final(call, unfinished=True)]) == [(ToolCall, "c1")]
    assert events_in([step("s1", ADD), used(), final(call, unfinished=True)]) == [(ToolCall, "c1")]


def test_a_process_that_takes_over_repeats_no_call_and_no_result() -> None:
    sent: list[Event] = [ToolCall("c1", "calc", "add", {}), ToolResult("c1", "1.0", False, 1)]
    frames = [step("s1", ADD), used(), completed("c1", "add_mcp_calc", "{}", "1.0")]
    assert play(frames, reader(reply_so_far=sent)) == []
    (answer,) = play(frames, reader(reply_so_far=sent[:1]))
    assert isinstance(answer, ToolResult)
    assert answer.duration_ms is None
