"""Plays recorded and made-up streams of LibreChat through a Reading."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import UUID

from gateway.engines.base import Event
from gateway.engines.librechat.stream_parser import Read, Reading
from gateway.providers.sse import Frame, FrameParser
from gateway.tests.replayed_librechat.recorded import RECORDINGS, exchanges, frames

REPLY = UUID("c0ffee00-0000-4000-8000-000000000001")
RESUMED = "chat_disconnect_and_resume-2"


@dataclass(frozen=True)
class Stream:
    """One recorded stream and the reply that it is about."""

    name: str  # of the recording, with the place of the exchange in it
    sse: bytes
    reply_id: UUID
    content: tuple[dict[str, Any], ...]  # of the whole reply, as its end has it


@cache
def streams() -> dict[str, Stream]:
    """Every recorded stream by its name."""
    found = [
        _stream(f"{path.stem}-{place}", exchange["response"]["sse"])
        for path in sorted(RECORDINGS.glob("*.json"))
        for place, exchange in enumerate(exchanges(path.stem))
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


def reading(reply_id: UUID = REPLY, told: Iterable[dict[str, Any]] = ()) -> Reading:
    """With a clock that stands still."""
    return Reading(reply_id, told, clock=lambda: 0.0)


def frames_of(chunks: Iterable[bytes]) -> list[Frame]:
    parser = FrameParser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def play(frames: Iterable[Frame], by: Reading | None = None) -> list[Read]:
    by = by or reading()
    return [item for frame in frames for item in by.read(frame)]


def play_stream(stream: Stream, chunks: Iterable[bytes] = ()) -> list[Read]:
    return play(frames_of(chunks or [stream.sse]), reading(stream.reply_id))


def frame(data: Any, event: str = "message") -> Frame:
    return Frame(event, json.dumps(data))


def happened(event: str, data: Any) -> Frame:
    return frame({"event": event, "data": data})


def said(kind: str, text: str) -> Frame:
    """A piece of the text, or of what was thought: `text` or `think`."""
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


def merged(items: Iterable[Read]) -> list[Read]:
    """Texts that follow each other as one, and answers without the time they took."""
    found: list[Read] = []
    for item in items:
        before = found[-1] if found else None
        if isinstance(item, Event) and "text" in item.data and isinstance(before, Event):
            if before.type == item.type:
                found[-1] = replace(before, data={"text": before.data["text"] + item.data["text"]})
                continue
        elif isinstance(item, Event) and item.type == "tool_result":
            item = replace(item, data={**item.data, "duration_ms": None})  # noqa: PLW2901
        found.append(item)
    return found


def text_of(items: Iterable[Read], kind: str = "delta") -> str:
    return "".join(item.data["text"] for item in items if isinstance(item, Event) and item.type == kind)


def of_type(items: Iterable[Read], kind: str) -> Iterator[dict[str, Any]]:
    return (item.data for item in items if isinstance(item, Event) and item.type == kind)
