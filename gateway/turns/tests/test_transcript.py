"""An event's id is its position: whatever a client has seen, it gets exactly the rest, live or stored."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.base import Event
from gateway.turns.transcript import NumberedEvent, Transcript

events = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=8).map(lambda text: Event("delta", {"text": text})),
        st.text(min_size=1, max_size=8).map(lambda text: Event("reasoning", {"text": text})),
        st.just(Event("notice", {"text": "retrying"})),
        st.just(Event("replace")),
    ),
    max_size=12,
)


def letters(told: list[NumberedEvent]) -> list[tuple[str, str]]:
    """What was said, character by character, however it was cut."""
    return [
        (event.type, sign)
        for event in told
        for sign in (event.data["text"] if event.type in {"delta", "reasoning"} else ["*"])
    ]


def shown(*told: list[NumberedEvent]) -> list[tuple[str, str]]:
    """What a client has in the end: a `replace` discards all before it, but not that the turn has begun."""
    found: list[tuple[str, str]] = []
    for event in (event for events_ in told for event in events_):
        found = [] if event.type == "replace" else [*found, *letters([event])]
    return [letter for letter in found if letter[0] != "started"]


def seen(numbered: list[NumberedEvent], until: int) -> list[NumberedEvent]:
    """What a client had that left after the id `until`, perhaps in the middle of a text."""
    whole = [event for event in numbered if event.id <= until]
    cut = next((event for event in numbered if event.id > until), None)
    if cut is None or cut.type not in {"delta", "reasoning"}:
        return whole
    text = cut.data["text"][: max(0, until - (cut.id - len(cut.data["text"])))]
    return [*whole, NumberedEvent(until, cut.type, {"text": text})]


@given(events)
def test_ids_grow_and_a_stored_transcript_numbers_as_the_live_one_did(emitted: list[Event]) -> None:
    live = Transcript({})
    numbered = [live.append(event) for event in emitted]
    ids = [1, *(event.id for event in numbered)]
    assert ids == sorted(set(ids))
    stored = Transcript({}, live.parts)
    assert stored.position == live.position
    assert stored.parts == live.parts


@given(events, st.data())
def test_after_any_id_comes_exactly_the_rest(emitted: list[Event], data: st.DataObject) -> None:
    live = Transcript({})
    numbered = [NumberedEvent(1, "started", {}), *(live.append(event) for event in emitted)]
    seen_until = data.draw(st.integers(0, live.position))
    rest = list(Transcript({}, live.parts).after(seen_until))
    resumed = [event.past(seen_until) for event in numbered if event.id > seen_until]
    assert shown(seen(numbered, seen_until), rest) == shown(seen(numbered, seen_until), resumed)
    assert shown([], rest if seen_until == 0 else numbered) == shown([], numbered)
    if Event("replace") not in emitted:
        assert letters(resumed) == letters(rest)


@given(events, st.integers(0, 200))
def test_after_a_crash_the_closing_events_come_whatever_was_seen(emitted: list[Event], seen: int) -> None:
    stored = Transcript({})
    for event in emitted:
        stored.append(event)
    ending = [Event("error"), Event("usage"), Event("done")]
    told = list(stored.ending(seen, ending, lagging=True))
    assert [event.type for event in told] == ["error", "usage", "done"]
    assert all(event.id > seen for event in told)


@pytest.mark.slow
def test_a_reply_in_tiny_pieces_costs_what_its_length_does() -> None:
    begun = time.process_time()
    live = Transcript({})
    for _ in range(300_000):
        live.append(Event("delta", {"text": "abcd"}))
    assert len(live.text) == 1_200_000
    assert time.process_time() - begun < 5  # minutes, when each piece copied what came before
