"""The stream's parser gives the same events wherever the network cut the bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import Finish, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.openai import parse_chunk
from gateway.providers.soundness import SoundText
from gateway.providers.sse import LONGEST_LINE, DataParser, FrameTooLong

STREAM = (
    ': ping\r\n\r\ndata: {"a": "é\U0001f600"}\n\n'
    "event: x\nid: 4\ndata: one\ndata: two\n\n\n\ndata:tight\r\n\r\n"
).encode()
EVENTS = ['{"a": "é\U0001f600"}', "one\ntwo", "tight"]


def test_every_cut_gives_the_same_events() -> None:
    for at in range(len(STREAM) + 1):
        parser = DataParser()
        assert [*parser.feed(STREAM[:at]), *parser.feed(STREAM[at:])] == EVENTS


@given(st.lists(st.integers(1, 9), max_size=60))
def test_random_chunks_give_the_same_events(sizes: list[int]) -> None:
    parser, rest, told = DataParser(), STREAM, []
    for size in sizes:
        told += parser.feed(rest[:size])
        rest = rest[size:]
    assert [*told, *parser.feed(rest)] == EVENTS


@given(st.lists(st.binary(max_size=40)))
def test_garbage_never_breaks_the_parser(chunks: list[bytes]) -> None:
    parser = DataParser()
    for chunk in chunks:
        assert all(isinstance(data, str) for data in parser.feed(chunk))


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(FrameTooLong):
        list(DataParser().feed(b"x" * (LONGEST_LINE + 1)))


def test_a_chunk_is_read_into_events() -> None:
    delta = {"content": "Hi", "reasoning_content": "hm", "tool_calls": [{"index": 0}]}
    chunk = {
        "choices": [{"delta": delta, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0},
    }
    assert list(parse_chunk(chunk)) == [
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta([{"index": 0, "function": {}}]),
        Finish("length"),
        UsageReport(3, 0),
    ]


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": 3}, {"prompt_tokens": True, "completion_tokens": 1}, None]
)
def test_usage_that_is_missing_is_not_taken_for_0(usage: object) -> None:
    assert list(parse_chunk({"choices": [], "usage": usage})) == []


@pytest.mark.parametrize(
    "odd", [{"index": "x"}, {"function": "f"}, {"function": {"name": 5, "arguments": None}}, {"id": 7}]
)
def test_odd_pieces_of_tool_calls_become_sound_ones(odd: dict[str, object]) -> None:
    (event,) = parse_chunk({"choices": [{"delta": {"tool_calls": [odd]}}]})
    assert event == ToolCallDelta([{"index": 0, "function": {}}])


def test_tool_calls_without_an_index_stay_apart() -> None:
    (event,) = parse_chunk({"choices": [{"delta": {"tool_calls": [{"id": "a"}, {"id": "b"}]}}]})
    assert isinstance(event, ToolCallDelta)
    assert [call["index"] for call in event.calls] == [0, 1]


def test_an_empty_reasoning_is_nothing() -> None:
    assert list(parse_chunk({"choices": [{"delta": {"content": "x", "reasoning": ""}}]})) == [TextDelta("x")]


@given(st.text(), st.data())
def test_text_cut_anywhere_in_its_utf_16_comes_out_whole(text: str, data: st.DataObject) -> None:
    units = text.replace("\0", "").encode("utf-16-le", "surrogatepass")
    at = 2 * data.draw(st.integers(0, len(units) // 2))
    pieces = [part.decode("utf-16-le", "surrogatepass") for part in (units[:at], units[at:])]
    stream = SoundText()
    assert "".join([*map(stream.add, pieces), stream.end()]) == text.replace("\0", "")


@pytest.mark.parametrize(
    ("piece", "told"), [("a\0b", "a\ufffdb"), ("\udc00x", "\ufffdx"), ("x\ud800y", "x\ufffdy")]
)
def test_what_cannot_be_stored_is_replaced(piece: str, told: str) -> None:
    stream = SoundText()
    assert stream.add(piece) + stream.end() == told


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["delta", "content", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "error"]), json_values))
def test_any_json_chunk_is_survived(chunk: dict[str, object]) -> None:
    list(parse_chunk(json.loads(json.dumps(chunk))))
