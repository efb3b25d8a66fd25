"""A stream that is left at any frame and resumed at any later one yields the whole reply once."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from gateway.engines.events import Event, ToolCall, ToolResult
from gateway.engines.librechat.stream_parser import StreamItem
from gateway.engines.librechat.tests.playback import (
    REPLY,
    completed,
    final,
    frame,
    frames_of,
    merged,
    piece,
    play,
    reader,
    said,
    step,
    streams,
    text_of,
    used,
)
from gateway.providers.base import ReasoningDelta, TextDelta
from gateway.providers.sse import Frame
from gateway.tests.replayed_librechat.content import Content
from gateway.turns.event_json import reply_events
from gateway.turns.transcript import Transcript

ARGS = ['{"a": 2', ', "b"', ": 40}"]
MADE_UP = [
    said("think", "A sum, "),
    said("think", "then."),
    said("text", "Let me \U0001f914 "),
    said("text", "see. \ud83d"),
    said("text", "\ude00"),
    step("s1", {"id": "c1", "name": "add_mcp_calc", "args": ""}),
    *(piece("s1", text, index=0) for text in ARGS),
    step("s2", {"id": "c2", "name": "fail_mcp_calc", "args": {"reason": "why not"}}),
    piece("s2", '{"reason": "why not"}', index=1),
    used(),
    completed("c1", "add_mcp_calc", '{"a":2,"b":40}', "42.0"),
    completed("c2", "fail_mcp_calc", '{"reason":"why not"}', "Error executing tool fail"),
    said("think", "Fine."),
    said("text", "It is 42"),
    said("text", "."),
    used(),
]
NAMES = ["chat_abort-3", "chat_routed-4", "chat_upstream_dies-1", "chat_local_model-1", "mcp_with_usage-2"]


@cache
def scene(name: str) -> tuple[UUID, list[Frame], list[Frame]]:
    """The reply's id, the frames, and for each position the sync frame of a client that resumes there."""
    if name in streams():
        stream = streams()[name]
        frames = frames_of([stream.sse])
        return stream.reply_id, frames, list(syncs(frames))
    content = Content()
    assert len(list(syncs(MADE_UP, content))) == len(MADE_UP)
    frames = [*MADE_UP, final(*content.parts)]
    return REPLY, frames, list(syncs(frames))


def syncs(frames: list[Frame], content: Content | None = None) -> Iterator[Frame]:
    """The sync frame before each frame, its content gathered from the frames before it."""
    content = content or Content()
    steps: list[dict[str, Any]] = []
    for each in frames:
        state = {"aggregatedContent": content.parts, "runSteps": steps}
        yield frame({"sync": True, "resumeState": state, "pendingEvents": []})
        received = json.loads(each.data)
        gather(content, steps, str(received.get("event")), received.get("data") or {})


def gather(content: Content, steps: list[dict[str, Any]], event: str, data: dict[str, Any]) -> None:
    """As LibreChat does; a step's calls are known by its id."""
    match event:
        case "on_message_delta" | "on_reasoning_delta":
            for part in data["delta"]["content"]:
                content.add(part["type"], part[part["type"]])
        case "on_run_step":
            steps.append(data)
            for call in data["stepDetails"].get("tool_calls", []):
                content.open_call(call["id"], call["name"])
        case "on_run_step_delta":
            (begun,) = [known for known in steps if known["id"] == data["id"]]
            (call,) = begun["stepDetails"]["tool_calls"]
            content.add_arguments(call["id"], data["delta"]["tool_calls"][0]["args"])
        case "on_run_step_completed":
            call = data["result"]["tool_call"]
            content.complete(call["id"], call["args"], call["output"])


def check(received: list[StreamItem], whole: list[StreamItem]) -> None:
    """The same texts and end, the same calls and answers once, each answer after its call."""
    assert [text_of(received, kind) for kind in (TextDelta, ReasoningDelta)] == [
        text_of(whole, kind) for kind in (TextDelta, ReasoningDelta)
    ]
    assert received[-1] == whole[-1]
    assert sorted(map(repr, tools_in(received))) == sorted(map(repr, tools_in(whole)))
    order = [(type(event), event.call_id) for event in tools_in(received)]
    for call_id in {call_id for _, call_id in order}:
        assert order.index((ToolCall, call_id)) < order.index((ToolResult, call_id))


def tools_in(items: list[StreamItem]) -> list[ToolCall | ToolResult]:
    return [item for item in merged(items) if isinstance(item, ToolCall | ToolResult)]


@pytest.mark.parametrize("name", [*NAMES, "made up"])
def test_left_at_any_frame_and_resumed_at_any_later_one(name: str) -> None:
    reply_id, frames, resumed = scene(name)
    whole = play(frames, reader(reply_id))
    for left in range(len(frames)):
        for at in range(left, len(frames)):
            received = play([*frames[:left], resumed[at], *frames[at:]], reader(reply_id))
            check(received, whole)


@pytest.mark.parametrize("name", [*NAMES, "made up"])
def test_left_at_any_frame_and_resumed_by_another_process(name: str) -> None:
    """That process has only the stored reply so far."""
    reply_id, frames, resumed = scene(name)
    whole = play(frames, reader(reply_id))
    for left in range(len(frames)):
        before = play(frames[:left], reader(reply_id))
        transcript = Transcript()
        for event in before:
            assert isinstance(event, Event)
            transcript.append(event)
        for at in {left, (left + len(frames)) // 2, len(frames) - 1}:
            after = play([resumed[at], *frames[at:]], reader(reply_id, reply_events(transcript.parts)))
            check([*before, *after], whole)


@pytest.mark.parametrize("name", [*NAMES, "made up"])
def test_left_at_any_frame_and_the_rest_read_from_the_stored_reply(name: str) -> None:
    reply_id, frames, _ = scene(name)
    whole = play(frames, reader(reply_id))
    stored = json.loads(frames[-1].data)["responseMessage"]
    for left in range(len(frames)):
        by = reader(reply_id)
        check([*play(frames[:left], by), *by.read_stored(stored)], whole)


def test_a_resumed_stream_keeps_the_order_of_texts_and_calls() -> None:
    reply_id, frames, resumed = scene("mcp_with_usage-2")
    whole = merged(play(frames, reader(reply_id)))
    for at in range(len(frames)):
        assert merged(play([resumed[at], *frames[at:]], reader(reply_id))) == whole
