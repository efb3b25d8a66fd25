"""An event's id is its position: whatever a client has seen, it gets exactly the rest, live or stored."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.events import Event, Replacement, TextEvent
from gateway.providers.base import Notice, ReasoningDelta, TextDelta
from gateway.turns.event_json import name_of, reply_events
from gateway.turns.events import Done, Failed, NumberedEvent, Started, UsageTotal
from gateway.turns.transcript import Transcript
from kit.tests.cpu_time import cpu_at_most
from quotas.prices import Usage

STARTED = Started(None, "turn", "local")

events = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=8).map(TextDelta),
        st.text(min_size=1, max_size=8).map(ReasoningDelta),
        st.just(Notice("retry", {"text": "retrying"})),
        st.just(Replacement()),
    ),
    max_size=12,
)


def letters(received: list[NumberedEvent]) -> list[tuple[str, str]]:
    """The reply character by character, however it was cut."""
    return [
        (name_of(each.event), character)
        for each in received
        for character in (each.event.text if isinstance(each.event, TextEvent) else ["*"])
    ]


def shown(*received: list[NumberedEvent]) -> list[tuple[str, str]]:
    """What a client has in the end: a Replacement discards everything before it, except `started`."""
    found: list[tuple[str, str]] = []
    for each in (each for events_ in received for each in events_):
        found = [] if isinstance(each.event, Replacement) else [*found, *letters([each])]
    return [letter for letter in found if letter[0] != "started"]


def seen(numbered: list[NumberedEvent], until: int) -> list[NumberedEvent]:
    """The events of a client that left after the id `until`, perhaps in the middle of a text."""
    whole = [each for each in numbered if each.id <= until]
    cut = next((each for each in numbered if each.id > until), None)
    if cut is None or not isinstance(cut.event, TextEvent):
        return whole
    text = cut.event.text[: max(0, until - (cut.id - len(cut.event.text)))]
    return [*whole, NumberedEvent(until, replace(cut.event, text=text))]


@given(events)
def test_ids_grow_and_a_stored_transcript_numbers_as_the_live_one_did(emitted: list[Event]) -> None:
    live = Transcript(STARTED)
    numbered = [live.append(event) for event in emitted]
    ids = [1, *(event.id for event in numbered)]
    assert ids == sorted(set(ids))
    stored = Transcript(STARTED, reply_events(live.parts))
    assert stored.position == live.position
    assert stored.parts == live.parts


@given(events, st.data())
def test_after_any_id_exactly_the_rest_is_sent(emitted: list[Event], data: st.DataObject) -> None:
    live = Transcript(STARTED)
    numbered = [NumberedEvent(1, STARTED), *(live.append(event) for event in emitted)]
    seen_until = data.draw(st.integers(0, live.position))
    rest = list(Transcript(STARTED, reply_events(live.parts)).after(seen_until))
    resumed = [event.past(seen_until) for event in numbered if event.id > seen_until]
    assert shown(seen(numbered, seen_until), rest) == shown(seen(numbered, seen_until), resumed)
    assert shown([], rest if seen_until == 0 else numbered) == shown([], numbered)
    if Replacement() not in emitted:
        assert letters(resumed) == letters(rest)


@given(events, st.integers(0, 200))
def test_after_a_crash_the_closing_events_are_sent_whatever_was_seen(emitted: list[Event], seen: int) -> None:
    stored = Transcript(STARTED)
    for event in emitted:
        stored.append(event)
    ending = [Failed({}), UsageTotal(Usage(0, 0), None), Done("interrupted")]
    closing = list(stored.ending(seen, ending, lagging=True))
    assert [each.event for each in closing] == ending
    assert all(each.id > seen for each in closing)


@pytest.mark.slow
def test_a_reply_in_tiny_pieces_takes_linear_time() -> None:
    live = Transcript(STARTED)
    with cpu_at_most(5, time.thread_time):  # copying the text for each piece took minutes
        for _ in range(300_000):
            live.append(TextDelta("abcd"))
    assert len(live.text) == 1_200_000
