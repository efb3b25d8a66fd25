"""The events of a turn's reply so far, numbered so that an event's id is its position in the reply.

A text or reasoning event counts as many positions as it has characters, every other event one. So a running
turn and its stored copy give the same ids, and a client that resumes after any id, in any process, gets
exactly what it lacks.

A Replacement withdraws all of the reply before it. It remembers how many positions those were, so positions
only ever grow, and a client that resumes before it gets it and all that follows (ADR 0023).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from gateway.engines.events import Event, Replacement, TextEvent
from gateway.providers.base import TextDelta
from gateway.turns.event_json import part_of
from gateway.turns.events import ClosingEvent, NumberedEvent, Started

STARTED_POSITION = 1


class Transcript:
    """Grows by one event at a time; consecutive texts are merged.

    `started` is None for a reply that is only being recovered.
    """

    def __init__(self, started: Started | None = None, events: Iterable[Event] = ()) -> None:
        self.position = STARTED_POSITION
        self.started = started
        self._events: list[Event] = []
        # Pieces of the last event's text: concatenating each would take quadratic time.
        self._growing: list[str] = []
        for event in events:
            self.append(event)

    def append(self, event: Event) -> NumberedEvent:
        """Adds an event of the reply and numbers it."""
        match event:
            case _ if isinstance(event, TextEvent):
                self._append_text(event)
                self.position += len(event.text)
            case Replacement():
                event = self._replace(event)
            case _:
                self._join()
                self._events.append(event)
                self.position += 1
        return NumberedEvent(self.position, event)

    def _replace(self, event: Replacement) -> Replacement:
        """A stored Replacement comes first, and already has the number of positions that it withdrew."""
        positions = event.positions
        withdrawn = self.position - STARTED_POSITION if positions is None else positions
        self._growing.clear()
        numbered = Replacement(withdrawn)
        self._events = [numbered]
        self.position = STARTED_POSITION + withdrawn + 1
        return numbered

    def _append_text(self, event: TextEvent) -> None:
        if not self._events or type(self._events[-1]) is not type(event):
            self._join()
            self._events.append(replace(event, text=""))
        self._growing.append(event.text)

    def _join(self) -> None:
        if self._growing:
            last = self._events[-1]
            if isinstance(last, TextEvent):
                self._events[-1] = replace(last, text=last.text + "".join(self._growing))
            self._growing.clear()

    @property
    def events(self) -> tuple[Event, ...]:
        self._join()
        return tuple(self._events)

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The reply as it is stored."""
        return [part_of(event) for event in self.events]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    def after(self, last_id: int) -> Iterator[NumberedEvent]:
        """Everything after `last_id`, each text in one piece, the first one cut if necessary."""
        if last_id < STARTED_POSITION and self.started is not None:
            yield NumberedEvent(STARTED_POSITION, self.started)
        position = STARTED_POSITION
        for event in self.events:
            position += _length(event)
            if position > last_id:
                yield NumberedEvent(position, event).past(last_id)

    def ending(
        self, last_id: int, events: Sequence[ClosingEvent], *, lagging: bool
    ) -> Iterator[NumberedEvent]:
        """The closing events, numbered after the reply.

        `lagging`: the process died, so a client may have seen more than was stored. It gets them all.
        """
        base = max(self.position, last_id) if lagging else self.position
        for number, event in enumerate(events, start=1):
            if base + number > last_id:
                yield NumberedEvent(base + number, event)


def _length(event: Event) -> int:
    """In positions."""
    match event:
        case Replacement(positions):
            return (positions or 0) + 1
        case _ if isinstance(event, TextEvent):
            return len(event.text)
        case _:
            return 1
