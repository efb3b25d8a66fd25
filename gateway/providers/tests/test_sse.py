"""The same frames are read, however the network splits the bytes and even if a server omits parts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import (
    BODY,
    BYTE_ORDER_MARK,
    LONGEST_LINE,
    LONGEST_SILENCE,
    Frame,
    FrameParser,
    FrameTooLong,
)

STREAM = (
    ': ping\r\n\r\ndata: {"a": "é\U0001f600"}\n\n'
    "event: x\nid: 4\ndata: one\ndata: two\n\n\n\nevent: no data\n\ndata:tight\r\n\r\ndata\n\n"
).encode()
FRAMES = [Frame("message", '{"a": "é\U0001f600"}'), Frame("x", "one\ntwo"), Frame("message", "tight")]


def frames_of(stream: bytes, *, size: int | None = None) -> list[Frame]:
    """All frames, the last included, of chunks of this many bytes."""
    parser, size = FrameParser(), size or max(1, len(stream))
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [*(frame for chunk in chunks for frame in parser.feed(chunk)), *parser.end()]


def messages(*texts: str) -> list[Frame]:
    return [Frame("message", text) for text in texts]


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


A, B = '{"a": 1}', '{"b": 2}'


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        ("", []),
        ("\n\n\n", []),
        ("data:\n\ndata: \n\n", []),
        (f"data: {A}", messages(A)),  # the last frame lacks its blank line, or its line's end
        (f"data: {A}\n", messages(A)),
        (f"data: {A}\r", messages(A)),
        (f"data: {A}\ndata: {B}\n", messages(A, B)),
        (f"data: {A}\r\rdata: {B}\r\r", messages(A, B)),
        (f"data: {A}\r\ndata: {B}\r\n\r\n", messages(A, B)),
        (f"data: {A}\ndata: [DONE]\n", messages(A, "[DONE]")),
        ("data: [DONE]", messages("[DONE]")),
        ("data:  [DONE] \n: late\n", messages(" [DONE] ")),
        ('data: {"a":\ndata: 1}\n\n', messages('{"a":\n1}')),  # one document in two lines
        (f"event: x\ndata: {A}\nevent: y\ndata: {B}\n\n", [Frame("x", A), Frame("y", B)]),
        (f"event: x\n\ndata: {A}\n\n", messages(A)),
        (f"Data: {A}\n\nDATA : {B}\n\n", messages(A, B)),
        (f"retry: 10\nid\nnonsense\ndata: {A}\n\n", messages(A)),
        (f": {A}\n\n:\n\ndata: {B}\n\n", messages(B)),
        (f"{A}\n{B}\n", [Frame(BODY, A), Frame(BODY, B)]),  # JSON lines
        (f"  {A}", [Frame(BODY, f"  {A}")]),
        (f"{A}\n\ndata: {B}\n\n", [Frame(BODY, A), Frame("message", B)]),
        ("[DONE]\n", [Frame(BODY, "[DONE]")]),
        (f"[info] warming up\ndata: {A}\n\n", [Frame(BODY, "[info] warming up"), Frame("message", A)]),
        (f'{{"half":\ndata: {A}\n\n', [Frame(BODY, '{"half":'), Frame("message", A)]),
    ],
)
def test_a_stream_is_read_as_it_was_meant(stream: str, frames: list[Frame]) -> None:
    for size in (None, 1, 2, 3):
        assert frames_of(stream.encode(), size=size) == frames
        assert frames_of(BYTE_ORDER_MARK + stream.encode(), size=size) == frames


def test_several_byte_order_marks_are_skipped() -> None:
    assert frames_of(BYTE_ORDER_MARK * 2 + b"data: x\n\n", size=1) == messages("x")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_document_in_place_of_a_stream_is_one_frame(indent: int | None) -> None:
    written = json.dumps({"choices": [{"message": {"content": "a\n}\n]"}}], "usage": {}}, indent=indent)
    for size in (None, 1, 7):
        (frame,) = frames_of(written.encode(), size=size)
        assert (frame.event, json.loads(frame.data)) == (BODY, json.loads(written))


def test_a_document_is_a_frame_as_soon_as_it_is_whole() -> None:
    """So an open connection does not delay it."""
    parser = FrameParser()
    assert list(parser.feed(b'{\n "a": 1\n}\n')) == [Frame(BODY, '{\n "a": 1\n}')]
    assert list(parser.end()) == []


def test_invalid_utf_8_is_replaced() -> None:
    assert frames_of(b"data: a\xff\xc3\n\n") == messages("a\ufffd\ufffd")


@given(st.lists(st.binary(max_size=40)))
def test_garbage_never_breaks_the_parser(chunks: list[bytes]) -> None:
    parser = FrameParser()
    for chunk in chunks:
        assert all(isinstance(frame.data, str) for frame in parser.feed(chunk))


def test_the_bytes_of_a_frame_that_is_too_long_are_counted() -> None:
    for endless in (b"x", b"data: x\n", b"{\n"):
        parser = FrameParser(longest=1000)
        with pytest.raises(FrameTooLong) as refusal:
            list(parser.feed(endless * 2000))
        assert refusal.value.size > 1000


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(FrameTooLong):
        list(FrameParser().feed(b"x" * (LONGEST_LINE + 1)))


def test_very_many_comments_are_refused() -> None:
    parser = FrameParser(longest=1000)
    pings = b": ping\n\n" * (LONGEST_SILENCE // 8)
    assert list(parser.feed(pings)) == []
    assert list(parser.feed(b"data: x\n\n")) == messages("x")  # a frame ends the silence
    assert list(parser.feed(pings)) == []
    with pytest.raises(FrameTooLong):
        list(parser.feed(pings))
