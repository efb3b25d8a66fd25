"""The parser returns the same frames however the network splits the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import LONGEST_LINE, Frame, FrameParser, FrameTooLong

STREAM = (
    ': ping\r\n\r\ndata: {"a": "é\U0001f600"}\n\n'
    "event: x\nid: 4\ndata: one\ndata: two\n\n\n\nevent: no data\n\ndata:tight\r\n\r\ndata\n\n"
).encode()
FRAMES = [
    Frame("message", '{"a": "é\U0001f600"}'),
    Frame("x", "one\ntwo"),
    Frame("message", "tight"),
    Frame("message", ""),
]


def test_every_split_gives_the_same_frames() -> None:
    for at in range(len(STREAM) + 1):
        parser = FrameParser()
        assert [*parser.feed(STREAM[:at]), *parser.feed(STREAM[at:])] == FRAMES


@given(st.lists(st.integers(1, 9), max_size=60))
def test_random_chunks_give_the_same_frames(sizes: list[int]) -> None:
    parser, rest, frames = FrameParser(), STREAM, []
    for size in sizes:
        frames += parser.feed(rest[:size])
        rest = rest[size:]
    assert [*frames, *parser.feed(rest)] == FRAMES


@given(st.lists(st.binary(max_size=40)))
def test_garbage_never_breaks_the_parser(chunks: list[bytes]) -> None:
    parser = FrameParser()
    for chunk in chunks:
        assert all(isinstance(frame.data, str) for frame in parser.feed(chunk))


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(FrameTooLong):
        list(FrameParser().feed(b"x" * (LONGEST_LINE + 1)))
