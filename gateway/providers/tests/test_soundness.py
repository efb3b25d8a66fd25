"""Texts are complete and can be stored, however a provider splits them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import Finish, JsonObject, ReasoningDelta, TextDelta, ToolCallDelta
from gateway.providers.soundness import SoundEvents, SoundText

HIGH, LOW = "\ud83d", "\ude00"


@given(st.text(), st.data())
def test_text_split_anywhere_in_its_utf_16_is_restored(text: str, data: st.DataObject) -> None:
    units = text.replace("\0", "").encode("utf-16-le", "surrogatepass")
    at = 2 * data.draw(st.integers(0, len(units) // 2))
    pieces = [part.decode("utf-16-le", "surrogatepass") for part in (units[:at], units[at:])]
    stream = SoundText()
    assert "".join([*map(stream.add, pieces), stream.end()]) == text.replace("\0", "")


@pytest.mark.parametrize(
    ("piece", "text"), [("a\0b", "a\ufffdb"), ("\udc00x", "\ufffdx"), ("x\ud800y", "x\ufffdy")]
)
def test_characters_that_cannot_be_stored_are_replaced(piece: str, text: str) -> None:
    stream = SoundText()
    assert stream.add(piece) + stream.end() == text


def test_every_kind_of_text_waits_for_its_own_second_half() -> None:
    def call(index: int, arguments: str) -> JsonObject:
        return {"index": index, "function": {"arguments": arguments}}

    sounds = SoundEvents()
    events = [
        ReasoningDelta(f"hm{HIGH}"),
        TextDelta(f"a{HIGH}"),
        ToolCallDelta([call(0, f"x{HIGH}"), call(1, f"y{HIGH}")]),
        ReasoningDelta(LOW),
        TextDelta(LOW),
        ToolCallDelta([call(1, "z")]),
        ToolCallDelta([call(0, LOW)]),
        Finish("stop"),
    ]
    assert [whole for event in events for whole in sounds.add(event)] == [
        ReasoningDelta("hm"),
        TextDelta("a"),
        ToolCallDelta([call(0, "x"), call(1, "y")]),
        ReasoningDelta("\U0001f600"),
        TextDelta("\U0001f600"),
        ToolCallDelta([call(1, "\ufffdz")]),
        ToolCallDelta([call(0, "\U0001f600")]),
        Finish("stop"),
    ]
    assert list(sounds.end()) == []


def test_halves_without_a_second_are_replaced_at_the_end() -> None:
    sounds = SoundEvents()
    piece = {"index": 2, "id": "a\0", "function": {"name": "n\0", "arguments": f"x{HIGH}"}}
    for event in (ReasoningDelta(HIGH), TextDelta(HIGH), ToolCallDelta([piece])):
        list(sounds.add(event))
    rest = {"index": 2, "function": {"arguments": "\ufffd"}}
    assert list(sounds.end()) == [ReasoningDelta("\ufffd"), TextDelta("\ufffd"), ToolCallDelta([rest])]
