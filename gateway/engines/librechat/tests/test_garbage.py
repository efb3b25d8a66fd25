"""No frame raises, and the events of any frame can be stored and sent."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.engines.events import Event
from gateway.engines.librechat.stream_parser import Failure, ReplyReader, StreamItem
from gateway.engines.librechat.tests.playback import (
    REPLY,
    completed,
    frame,
    play,
    said,
    step,
    streams,
    text_of,
)
from gateway.engines.librechat.tests.test_resumed_streams import MADE_UP, scene
from gateway.providers.base import Finish
from gateway.providers.sse import Frame
from gateway.tests.replayed_librechat.recorded import frames as taken_apart
from gateway.turns.event_json import data_of

WORDS = st.text(max_size=5) | st.sampled_from(["\0", "\ud83d", "text", "think", "tool_call", "final", "sync"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
KNOWN = [
    *(data for stream in streams().values() for _, data in taken_apart(stream.sse.decode())[-4:]),
    *(json.loads(each.data) for each in MADE_UP),
    *(json.loads(each.data) for each in scene("made up")[2][5::4]),
    *(json.loads(each.data) for each in scene("mcp_with_usage-2")[2][3::3]),
]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A known frame with junk in some of its values."""
    data = json.loads(json.dumps(draw(st.sampled_from(KNOWN))))
    for _ in range(draw(st.integers(0, 3))):
        data = _damage(draw, data)
    return data


def _damage(draw: st.DrawFn, value: Any) -> Any:
    """Descends into one of the values, and replaces it with junk."""
    if value and isinstance(value, dict | list) and draw(st.integers(0, 9)):
        keys = sorted(value, key=repr) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(list(keys)))
        value[key] = _damage(draw, value[key])
        return value
    return draw(JUNK)


def check_sound(items: list[StreamItem]) -> None:
    """PostgreSQL's JSON takes neither NaN nor a NUL, and UTF-8 no half of a surrogate pair."""
    for item in items:
        assert isinstance(item, Event | Finish | Failure)
        if isinstance(item, Event):
            text = json.dumps(data_of(item), allow_nan=False, ensure_ascii=False)
            text.encode()
            assert "\\u0000" not in text
        elif isinstance(item, Failure):
            item.text.encode()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(damaged(), st.sampled_from(["message", "message", "error", "?"])), max_size=6))
def test_a_damaged_frame_never_raises(frames: list[tuple[Any, str]]) -> None:
    check_sound(play([frame(data, event) for data, event in frames]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_stored_reply_never_raises(data: Any) -> None:
    reply = data.get("responseMessage") if isinstance(data, dict) else None
    check_sound(list(ReplyReader(REPLY).read_stored(reply if isinstance(reply, dict) else {"content": data})))


@given(st.text() | st.sampled_from(["null", "[]", "1", '"x"', "{", '{"final": tru', "NaN", "[" * 5000]))
def test_a_frame_that_is_not_a_json_object_is_ignored(text: str) -> None:
    assert play([Frame("message", text)]) == []


def test_unknown_events_are_ignored() -> None:
    unknown = [{"event": "on_new_thing", "data": {"text": "hi"}}, {"event": ["x"]}, {"created": True}, {}]
    assert play([frame(data) for data in unknown]) == []


@pytest.mark.parametrize("wrong", [[], {}, 1, True, "another"])
def test_an_id_of_a_wrong_type_belongs_to_another_reply(wrong: Any) -> None:
    ends = play([frame({"final": True, "responseMessage": {"messageId": wrong}})])
    assert [type(end) for end in ends] == [Failure]
    resumed = play([frame({"sync": True, "resumeState": {"responseMessageId": wrong}})])
    assert [type(end) for end in resumed] == [Failure]


def test_all_texts_arrive_without_nul_and_halves_of_pairs() -> None:
    bad = "a\0b\ud83dc"
    items = play(
        [
            said("text", bad),
            said("think", bad),
            step("s", {"id": bad, "name": bad, "args": bad}),
            completed(bad, bad, bad, bad),
            frame({"error": bad}, "error"),
        ]
    )
    assert len(items) == 5
    assert text_of(items) == "a\ufffdb\ufffdc"
    check_sound(items)
