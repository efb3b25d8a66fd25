"""The events of LibreChat's recorded streams, wherever the network cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.events import Event, Replacement, ToolCall, ToolResult
from gateway.engines.librechat.stream_parser import Failure
from gateway.engines.librechat.tests.playback import (
    REPLY,
    RESUMED,
    Stream,
    completed,
    final,
    frame,
    frames_of,
    play,
    play_stream,
    reader,
    said,
    streams,
    text_of,
    used,
)
from gateway.providers.base import Finish, ReasoningDelta, TextDelta
from gateway.providers.soundness import sound

TROUBLE = "An error occurred while processing the request: "
REPLACED = "Generation state changed; reconnect to load the saved response."
ENDS_OTHERWISE = {  # than with a Finish("stop")
    "chat_abort-3": Finish("cancelled"),
    "chat_routed_402-1": Failure(f"{TROUBLE}402 scripted failure 402"),
    "chat_upstream_dies-1": Failure(f"{TROUBLE}terminated"),
    "chat_second_turn_replaces-1": Failure(REPLACED, never_began=True),
    "chat_unknown_endpoint-1": Failure("endpoint_models_not_loaded", never_began=True),
    "chat_unknown_model-1": Failure("illegal_model_request", never_began=True),
}
BROKEN_OFF = ["chat_disconnect_and_resume-1", "chat_upstream_500-1"]
REFUSED = {"chat_upstream_401-1": "401 scripted failure 401", "chat_upstream_429-1": "429 scripted failure"}
OF_ALL = pytest.mark.parametrize("stream", streams().values(), ids=list(streams()))


@OF_ALL
def test_a_recorded_stream_yields_its_reply_and_one_end(stream: Stream) -> None:
    if stream.name in BROKEN_OFF:
        assert all(isinstance(item, Event) for item in play_stream(stream))
        return
    *events, end = play_stream(stream)
    whole = "".join(part["text"] for part in stream.content if part["type"] == "text")
    if stream.name != "chat_second_turn_replaces-1":  # whose end has no reply
        assert text_of(events) == whole
    assert all(isinstance(event, Event) for event in events)
    if stream.name in REFUSED:
        assert isinstance(end, Failure)
        assert end.text.startswith(TROUBLE + REFUSED[stream.name])
        assert not end.never_began
    else:
        assert end == ENDS_OTHERWISE.get(stream.name, Finish("stop"))


def test_a_stream_that_broke_before_the_first_word_yields_nothing() -> None:
    assert play_stream(streams()["chat_upstream_500-1"]) == []


def test_a_recorded_tool_call_and_its_result_are_sent_once() -> None:
    stream = streams()["mcp_with_usage-2"]
    by = reader(stream.reply_id)
    call, answer, *words, end = play(frames_of([stream.sse]), by)
    assert call == ToolCall("call_104537", "calc2", "add", {"a": 2, "b": 40})
    assert answer == ToolResult("call_104537", "42.0", is_error=False, duration_ms=0)
    assert (text_of(words), end) == ("The tool answered: 42.0", Finish("stop"))
    assert by.usage == [21, 5]


def test_a_resumed_stream_loses_and_repeats_nothing() -> None:
    before, after = streams()["chat_disconnect_and_resume-1"], streams()[RESUMED]
    items = play(frames_of([before.sse, after.sse]), reader(after.reply_id))
    assert text_of(items) == "".join(f"w{number} " for number in range(40))
    assert items[-1] == Finish("stop")


@OF_ALL
def test_every_cut_into_two_gives_the_same_frames(stream: Stream) -> None:
    """Two adjacent frames at a time: the parser has no state after a frame. Equal frames, equal events."""
    blocks = [block + b"\n\n" for block in stream.sse.split(b"\n\n")]
    for pair in map(b"".join, zip(blocks, [*blocks[1:], b""], strict=True)):
        whole = frames_of([pair])
        for at in range(len(pair) + 1):
            assert frames_of([pair[:at], pair[at:]]) == whole


@OF_ALL
def test_byte_after_byte_gives_the_same_events(stream: Stream) -> None:
    single = [stream.sse[at : at + 1] for at in range(len(stream.sse))]
    assert play_stream(stream, single) == play_stream(stream)


@given(st.sampled_from(list(streams().values())), st.lists(st.integers(1, 3000), max_size=40))
def test_random_chunks_give_the_same_events(stream: Stream, sizes: list[int]) -> None:
    chunks, rest = [], stream.sse
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    assert play_stream(stream, [*chunks, rest]) == play_stream(stream)


def test_reasoning_is_separate_from_the_text() -> None:
    parts = [{"type": "think", "think": "Hm, well."}, {"type": "text", "text": "Yes."}]
    items = play([said("think", "Hm, "), said("think", "well."), said("text", "Yes."), final(*parts)])
    assert (text_of(items, ReasoningDelta), text_of(items)) == ("Hm, well.", "Yes.")
    assert items[-1] == Finish("stop")


def test_content_that_only_the_end_has_is_sent_then() -> None:
    parts = [{"type": "think", "think": "Hm."}, {"type": "text", "text": {"value": "Yes."}}]
    items = play([said("text", "Ye"), final(*parts)])
    assert items == [
        TextDelta("Ye"),
        ReasoningDelta("Hm."),
        TextDelta("s."),
        Finish("stop"),
    ]


@pytest.mark.parametrize(
    ("streamed", "stored"),
    [
        ("One", "Another one"),  # another story
        ("w2 w3", "w0 w1 w2 w3"),  # the beginning was lost
        ("w0 w3", "w0 w1 w2 w3"),  # the middle was lost
        ("w0w1", "w0 w1"),  # a blank was lost
        ("w0 w1 w2", "w0 w1"),  # sent twice, or too much
    ],
)
def test_the_end_is_authoritative_where_the_stream_said_otherwise(streamed: str, stored: str) -> None:
    items = play([said("text", streamed), final({"type": "text", "text": stored})])
    assert items == [
        TextDelta(streamed),
        Replacement(),
        TextDelta(stored),
        Finish("stop"),
    ]


def test_a_replaced_reply_is_sent_in_order_with_reasoning_and_tools() -> None:
    call = {"id": "c1", "name": "add_mcp_calc", "args": "{}", "output": "42", "progress": 1}
    parts = [
        {"type": "think", "think": "Hm. Let me see."},
        {"type": "text", "text": "I add."},
        {"type": "tool_call", "tool_call": call},
        {"type": "text", "text": "It is 42."},
    ]
    streamed = [said("think", "see."), completed("c1", "add_mcp_calc", "{}", "42"), said("text", "is 42.")]
    items = play([*streamed, final(*parts)])
    at = items.index(Replacement())
    kinds = [type(item) for item in items[at + 1 : -1]]
    assert kinds == [ReasoningDelta, TextDelta, ToolCall, ToolResult, TextDelta]
    assert text_of(items[at:]) == "I add.It is 42."


def test_blank_parts_that_the_end_drops_around_tools_replace_nothing() -> None:
    call = {"id": "c1", "name": "add", "args": "{}", "output": "42", "progress": 1}
    received = [said("text", "I add.\n\n"), completed("c1", "add", "{}", "42"), said("text", "Done.")]
    parts = [{"type": "text", "text": "I add."}, {"type": "tool_call", "tool_call": call}]
    items = play([*received, final(*parts, {"type": "text", "text": "Done."})])
    assert Replacement() not in items


@pytest.mark.parametrize("more", [{"unfinished": True}, {"error": True, "text": "x"}])
def test_a_cut_off_reply_keeps_what_was_streamed_beyond_its_stored_end(more: dict[str, object]) -> None:
    items = play([said("text", "One two"), final({"type": "text", "text": "One"}, **more)])
    assert Replacement() not in items
    items = play([said("text", "two"), final({"type": "text", "text": "One two"}, **more)])
    assert Replacement() in items


@given(st.text(min_size=1), st.lists(st.integers(0, 30), max_size=4))
def test_the_end_decides_whichever_pieces_a_stream_lost(text: str, lost: list[int]) -> None:
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    left = [said("text", piece) for number, piece in enumerate(pieces) if number not in lost]
    items = play([*left, final({"type": "text", "text": text})])
    last = max((at for at, item in enumerate(items) if item == Replacement()), default=-1)
    assert text_of(items[last + 1 :]).rstrip() == sound(text).rstrip()


@pytest.mark.parametrize(
    ("text", "is_stored"),
    [
        (REPLACED, True),
        ("Terminal publication failed; reconnect to load the durable result", True),
        ("endpoint_models_not_loaded", False),
    ],
)
def test_an_error_that_refers_to_the_stored_reply_is_recognised(text: str, is_stored: bool) -> None:
    (end,) = play([frame({"error": text}, "error")])
    assert isinstance(end, Failure)
    assert end.is_stored == is_stored


def test_an_emoji_cut_in_two_arrives_whole_and_half_of_one_as_a_question() -> None:
    assert text_of(play([said("text", "a\ud83d"), said("text", "\ude00b")])) == "a\U0001f600b"
    whole = final({"type": "text", "text": "a\U0001f600"})
    assert text_of(play([said("text", "a\ud83d"), whole])) == "a\U0001f600"
    assert text_of(play([said("text", "a\ud83d"), final({"type": "text", "text": "a\ud83d"})])) == "a\ufffd"
    assert text_of(play([said("text", "a\ude00b")])) == "a\ufffdb"


def test_a_nul_never_arrives() -> None:
    assert text_of(play([said("text", "a\0b")])) == "a\ufffdb"


def test_the_end_of_another_reply_is_not_ours() -> None:
    other = final({"type": "text", "text": "Not yours."}, messageId="another")
    assert play([other]) == [Failure("Another reply was written in this conversation.")]
    state = {"responseMessageId": "another", "aggregatedContent": [{"type": "text", "text": "Not yours."}]}
    resumed = play([frame({"sync": True, "resumeState": state})])
    assert resumed == [Failure("Another reply is being written in this conversation.")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"message": "Illegal request"}, "Illegal request"),
        ({"error": True, "final": True, "text": '{"type":"convo_access"}'}, "convo_access"),
        ({"error": '{"type":"no_key"}'}, "no_key"),
        ({"error": "[1]"}, "[1]"),
        ({}, "LibreChat gave no reason."),
        ([], "LibreChat gave no reason."),
    ],
)
def test_an_error_frame_gives_the_reason(data: object, words: str) -> None:
    assert play([frame(data, "error")]) == [Failure(words, never_began=True)]


def test_a_reply_that_is_marked_as_failed_is_a_failure() -> None:
    assert play([final(error=True, text="Out of luck")]) == [Failure("Out of luck")]


def test_usage_is_summed_over_the_model_calls() -> None:
    by = reader(REPLY)
    play([used(10, 1), used(11, 4), used(True, 1)], by)  # type: ignore[arg-type]
    assert by.usage == [21, 6]


def test_an_end_without_a_reply_is_cancelled_or_failed() -> None:
    stopped = {"final": True, "responseMessage": None, "aborted": True, "earlyAbort": True}
    assert play([said("text", "One"), frame(stopped)])[-1] == Finish("cancelled")
    failed = {"final": True, "responseMessage": None, "error": {"message": "Out of luck"}}
    assert play([frame(failed)]) == [Failure("Out of luck")]
