"""Reads a turn as a client does: sends a message, takes the server-sent events apart."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class StreamEvent:
    """One event as it arrived."""

    id: int  # 0 for what is no event of the turn
    type: str
    data: dict[str, Any]


def body(message: str, **fields: Any) -> dict[str, Any]:
    return {"message": message, "model": "local", "mcps": [], **fields}


def send(client: httpx.Client, message: str, *, key: str = "", **fields: Any) -> httpx.Response:
    """`POST /v1/chat/send` for one JSON."""
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/chat/send", json=body(message, **fields), headers=headers)


def read_events(
    client: httpx.Client, message: str, *, asked: Callable[[str], None] | None = None, **fields: Any
) -> list[StreamEvent]:
    """`POST /v1/chat/send` for a stream, read to its end; `asked` gets the address of each approval."""
    told: list[StreamEvent] = []
    with client.stream("POST", "/v1/chat/send", json=body(message, **fields), headers=STREAM) as answer:
        assert answer.status_code == 200, answer.read()
        for event in parse(answer.iter_lines()):
            told.append(event)
            if asked and event.type == "approval":
                asked(f"/v1/chat/turns/{told[0].data['turn_id']}/approvals/{event.data['approval_id']}")
    return told


def resume(client: httpx.Client, turn_id: str, last_event_id: int | None = None) -> list[StreamEvent]:
    """`GET …/events`, read to its end."""
    headers = {"Last-Event-ID": str(last_event_id)} if last_event_id is not None else {}
    with client.stream("GET", f"/v1/chat/turns/{turn_id}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        return list(parse(answer.iter_lines()))


class Frames:
    """Puts the lines of an event stream together to events."""

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
