"""What a turn has emitted so far, kept so that any event's id is its position in the reply.

A text or reasoning event counts as many positions as it has characters, every other event one. So the
same ids come out of the running turn and of the stored one, and a client that resumes after any id, in
any process, gets exactly what it lacks.

`replace` withdraws all of the reply before it. Its part remembers how many positions those were, so that
positions only ever grow, and whoever resumes before it gets it and all that follows (ADR 0023).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.engines.base import Event

TEXTS = {"delta", "reasoning"}
PART_OF_EVENT = {"delta": "text", "reasoning": "reasoning"}
REPLACE = "replace"
EVENT_OF_PART = {part: event for event, part in PART_OF_EVENT.items()}
STARTED_POSITION = 1


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event with its id: the position at its end."""

    id: int
    type: str
    data: dict[str, Any]

    def past(self, last_id: int) -> "NumberedEvent":
        """What of this event lies past `last_id`: a text may be cut in its middle."""
        if self.type not in TEXTS:
            return self
        begin = self.id - len(self.data["text"])
        return (
            self
            if last_id <= begin
            else NumberedEvent(self.id, self.type, {"text": self.data["text"][last_id - begin :]})
        )


class Transcript:
    """Grows by one event at a time; `parts` are merged where texts follow each other."""

    def __init__(self, started: dict[str, Any], parts: list[dict[str, Any]] | None = None) -> None:
        self.position = STARTED_POSITION
        self.started = started
        self._parts: list[dict[str, Any]] = []
        self._growing: list[str] = []  # pieces of the last part's text: joining each would take their square
        for part in parts or []:
            self.append(_event_of(part))

    def append(self, event: Event) -> NumberedEvent:
        """Takes an event that belongs to the reply and numbers it."""
        if event.type in TEXTS:
            self._append_text(PART_OF_EVENT[event.type], event.data["text"])
            self.position += len(event.data["text"])
        elif event.type == REPLACE:
            event = self._replace(event)
        else:
            self._join()
            self._parts.append({"type": event.type, **event.data})
            self.position += 1
        return NumberedEvent(self.position, event.type, event.data)

    def _replace(self, event: Event) -> Event:
        """A stored one, which comes first, has the number of positions that it withdrew already."""
        withdrawn = event.data.get("positions", self.position - STARTED_POSITION)
        self._growing.clear()
        self._parts = [{"type": REPLACE, "positions": withdrawn}]
        self.position = STARTED_POSITION + withdrawn + 1
        return Event(REPLACE, {"positions": withdrawn})

    def _append_text(self, kind: str, text: str) -> None:
        if not self._parts or self._parts[-1]["type"] != kind:
            self._join()
            self._parts.append({"type": kind, "text": ""})
        self._growing.append(text)

    def _join(self) -> None:
        if self._growing:
            self._parts[-1] = {**self._parts[-1], "text": self._parts[-1]["text"] + "".join(self._growing)}
            self._growing.clear()

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What is stored."""
        self._join()
        return self._parts

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    def after(self, last_id: int) -> Iterator[NumberedEvent]:
        """Everything past `last_id`, texts in one piece each, the first of them cut where it must be."""
        if last_id < STARTED_POSITION:
            yield NumberedEvent(STARTED_POSITION, "started", self.started)
        position = STARTED_POSITION
        for part in self.parts:
            event = _event_of(part)
            position += _length(part)
            if position > last_id:
                yield NumberedEvent(position, event.type, event.data).past(last_id)

    def ending(self, last_id: int, events: list[Event], *, lagging: bool) -> Iterator[NumberedEvent]:
        """The closing events, numbered past the reply.

        `lagging`: the process died, so a client may have seen more than was written down; it gets them all.
        """
        base = max(self.position, last_id) if lagging else self.position
        for number, event in enumerate(events, start=1):
            if base + number > last_id:
                yield NumberedEvent(base + number, event.type, event.data)


def _length(part: dict[str, Any]) -> int:
    if part["type"] == REPLACE:
        return int(part["positions"]) + 1
    return len(part["text"]) if part["type"] in EVENT_OF_PART else 1


def _event_of(part: dict[str, Any]) -> Event:
    if part["type"] in EVENT_OF_PART:
        return Event(EVENT_OF_PART[part["type"]], {"text": part["text"]})
    return Event(part["type"], {key: value for key, value in part.items() if key != "type"})
