"""Plays recorded and invented streams of LibreChat through a ReplyReader."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from gateway.engines.events import Event, TextEvent, ToolResult
from gateway.engines.librechat.stream_parser import ReplyReader, StreamItem
from gateway.providers.base import TextDelta
from gateway.providers.sse import Frame, FrameParser
from gateway.tests.replayed_librechat.recorded import RECORDINGS, exchanges, frames

T = TypeVar("T")
REPLY = UUID("c0ffee00-0000-4000-8000-000000000001")
RESUMED = "chat_disconnect_and_resume-2"


@dataclass(frozen=True)
class Stream:
    """One recorded stream and the reply that it is about."""

    name: str  # of the recording, with the index of the exchange
    sse: bytes
    reply_id: UUID
    content: tuple[dict[str, Any], ...]  # of the whole reply, as its end has it


@cache
def streams() -> dict[str, Stream]:
    """Every recorded stream by its name."""
    found = [
        _stream(f"{path.stem}-{index}", exchange["response"]["sse"])
        for path in sorted(RECORDINGS.glob("*.json"))
        for index, exchange in enumerate(exchanges(path.stem))
        if "sse" in exchange["response"]
    ]
    return {stream.name: stream for stream in found}


def _stream(name: str, sse: str) -> Stream:
    last: dict[str, Any] = {}
    reply_id = str(REPLY)
    for _, data in frames(sse):
        last = data.get("responseMessage", {})
        reply_id = last.get("messageId") or data.get("data", {}).get("runId") or reply_id
    return Stream(name, sse.encode(), UUID(reply_id), tuple(last.get("content", ())))


def reader(reply_id: UUID = REPLY, reply_so_far: Iterable[Event] = ()) -> ReplyReader:
    """With a clock that does not advance."""
    return ReplyReader(reply_id, reply_so_far, clock=lambda: 0.0)


def frames_of(chunks: Iterable[bytes]) -> list[Frame]:
    parser = FrameParser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def play(frames: Iterable[Frame], by: ReplyReader | None = None) -> list[StreamItem]:
    by = by or reader()
    return [item for frame in frames for item in by.read(frame)]


def play_stream(stream: Stream, chunks: Iterable[bytes] = ()) -> list[StreamItem]:
    return play(frames_of(chunks or [stream.sse]), reader(stream.reply_id))


def frame(data: Any, event: str = "message") -> Frame:
    return Frame(event, json.dumps(data))


def happened(event: str, data: Any) -> Frame:
    return frame({"event": event, "data": data})


def said(kind: str, text: str) -> Frame:
    """A piece of the text or the reasoning: `text` or `think`."""
    event = "on_message_delta" if kind == "text" else "on_reasoning_delta"
    return happened(event, {"id": "step", "delta": {"content": [{"type": kind, kind: text}]}})


def step(step_id: str, *calls: dict[str, Any]) -> Frame:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return happened("on_run_step", {"id": step_id, "type": "tool_calls", "stepDetails": details})


def piece(step_id: str, args: str, **more: Any) -> Frame:
    chunk = {"type": "tool_call_chunk", "args": args, **more}
    delta = {"type": "tool_calls", "tool_calls": [chunk]}
    return happened("on_run_step_delta", {"id": step_id, "delta": delta})


def completed(call_id: str, name: str, args: str, output: Any) -> Frame:
    call = {"id": call_id, "name": name, "args": args, "output": output, "progress": 1}
    return happened("on_run_step_completed", {"result": {"type": "tool_call", "tool_call": call}})


def used(given: int = 10, written: int = 1) -> Frame:
    return happened("on_token_usage", {"input_tokens": given, "output_tokens": written})


def final(*content: dict[str, Any], **more: Any) -> Frame:
    reply = {"messageId": str(REPLY), "content": list(content), **more}
    return frame({"final": True, "responseMessage": reply})


def merged(items: Iterable[StreamItem]) -> list[StreamItem]:
    """Consecutive texts as one, and results without their duration."""
    found: list[StreamItem] = []
    for item in items:
        before = found[-1] if found else None
        if isinstance(item, TextEvent) and isinstance(before, TextEvent) and type(before) is type(item):
            found[-1] = replace(before, text=before.text + item.text)
            continue
        found.append(replace(item, duration_ms=None) if isinstance(item, ToolResult) else item)
    return found


def text_of(items: Iterable[StreamItem], kind: type[TextEvent] = TextDelta) -> str:
    return "".join(item.text for item in items if isinstance(item, kind))


def of_type(items: Iterable[StreamItem], kind: type[T]) -> Iterator[T]:
    return (item for item in items if isinstance(item, kind))
