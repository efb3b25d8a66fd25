"""Reads a turn like a client: sends a message and parses the server-sent events."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class StreamEvent:
    """One received event."""

    id: int  # 0 if it is not an event of the turn
    type: str
    data: dict[str, Any]


def body(message: str, **fields: Any) -> dict[str, Any]:
    return {"message": message, "model": "local", "mcps": [], **fields}


def send(client: httpx.Client, message: str, *, key: str = "", **fields: Any) -> httpx.Response:
    """`POST /v1/chat/send` without a stream."""
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/chat/send", json=body(message, **fields), headers=headers)


def read_events(
    client: httpx.Client, message: str, *, on_approval: Callable[[str], None] | None = None, **fields: Any
) -> list[StreamEvent]:
    """`POST /v1/chat/send` for a stream, read to its end; `on_approval` gets each approval's URL."""
    events: list[StreamEvent] = []
    with client.stream("POST", "/v1/chat/send", json=body(message, **fields), headers=STREAM) as answer:
        assert answer.status_code == 200, answer.read()
        for event in parse(answer.iter_lines()):
            events.append(event)
            if on_approval and event.type == "approval":
                on_approval(
                    f"/v1/chat/turns/{events[0].data['turn_id']}/approvals/{event.data['approval_id']}"
                )
    return events


def resume(client: httpx.Client, turn_id: str, last_event_id: int | None = None) -> list[StreamEvent]:
    """`GET …/events`, read to its end."""
    headers = {"Last-Event-ID": str(last_event_id)} if last_event_id is not None else {}
    with client.stream("GET", f"/v1/chat/turns/{turn_id}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        return list(parse(answer.iter_lines()))


class Frames:
    """Assembles the lines of an event stream into events."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def event_at(self, line: str) -> StreamEvent | None:
        """The event that the line ends."""
        if line.startswith(":"):
            return None
        if line:
            name, _, value = line.partition(": ")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        return (
            StreamEvent(int(fields.get("id", 0)), fields["event"], json.loads(fields["data"]))
            if fields
            else None
        )


def parse(lines: Iterator[str]) -> Iterator[StreamEvent]:
    frames = Frames()
    for line in lines:
        if (event := frames.event_at(line)) is not None:
            yield event


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.type == "delta")
