"""The events of a turn: those of its reply, and those that begin and end it."""

from dataclasses import dataclass, replace
from typing import Any

from gateway.engines.events import Event, TextEvent
from quotas.prices import Usage


@dataclass(frozen=True, slots=True)
class Started:
    conversation_id: str | None
    turn_id: str
    model: str


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What the turn used; `quota` is the budget with the least left, after the turn."""

    usage: Usage
    quota: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended with an error, in the API's error format."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    finish_reason: str


ClosingEvent = UsageTotal | Failed | Done
TurnEvent = Event | Started | ClosingEvent


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event with its id: the position at its end."""

    id: int
    event: TurnEvent

    def past(self, last_id: int) -> "NumberedEvent":
        """The part of this event after `last_id`: a text may be cut in its middle."""
        if not isinstance(self.event, TextEvent):
            return self
        begin = self.id - len(self.event.text)
        if last_id <= begin:
            return self
        return NumberedEvent(self.id, replace(self.event, text=self.event.text[last_id - begin :]))
