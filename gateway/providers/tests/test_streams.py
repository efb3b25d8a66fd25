"""A reply ends when nothing more is expected, and a broken end does not spoil a complete reply."""

from typing import Any

import pytest

from gateway.errors import ProviderError
from gateway.providers import streams
from gateway.providers.base import Finish, ModelEvent, ModelRequest, TextDelta, ToolCallDelta, UsageReport
from gateway.providers.openai import CompatibleProvider
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.providers.tests.scripted_openai import DONE, chunk, usage

HI, STOP = chunk({"content": "Hi"}), chunk(finish="stop")
COUNTS = usage(prompt_tokens=3, completion_tokens=2)
OPEN = 600.0  # seconds that a server leaves the connection open


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LAST_FRAMES_SECONDS", 0.2)
    monkeypatch.setattr(streams, "LATE_USAGE_SECONDS", 0.4)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Answer([HI, STOP, OPEN]), []),
        (Answer([HI, STOP, COUNTS, OPEN]), [UsageReport(3, 2)] * 2),
        (Answer([HI, COUNTS, STOP, OPEN]), [UsageReport(3, 2)] * 2),
        (Answer([HI, STOP, 0.05, COUNTS, OPEN]), [UsageReport(3, 2)] * 2),  # late counts are waited for
        (Answer([HI, STOP, DONE, OPEN]), []),
        (Answer([HI, DONE, OPEN]), []),
        (Answer([HI, STOP], breaks_off=True), []),
        (Answer([HI, STOP, COUNTS], breaks_off=True), [UsageReport(3, 2)] * 2),
        (Answer([HI, STOP, b"data: {"], breaks_off=True), []),
        (Answer([HI, STOP[:-2]]), []),  # the last blank line is missing
    ],
)
async def test_a_complete_reply_ends_soon(
    upstream: ScriptedServer, events_of: Any, answer: Answer, counts: list[UsageReport]
) -> None:
    upstream.answers = [answer]
    assert await events_of(CompatibleProvider(upstream.url)) == [TextDelta("Hi"), *counts, Finish("stop")]


@pytest.mark.parametrize("answer", [Answer([HI]), Answer([HI, COUNTS]), Answer([HI, b"data: {\n\n"])])
async def test_the_words_of_a_reply_that_broke_off_are_passed_on(
    upstream: ScriptedServer, answer: Answer
) -> None:
    upstream.answers = [answer]
    request = ModelRequest(model="m", messages=[], max_tokens=20)
    events: list[ModelEvent] = []

    async def read() -> None:
        async for event in CompatibleProvider(upstream.url).stream(request):
            events.append(event)

    with pytest.raises(ProviderError):
        await read()
    assert events[0] == TextDelta("Hi")
    assert not any(isinstance(event, Finish) for event in events)


@pytest.mark.parametrize("end", [b'data: {"error": {"message": "gone"}}\n\n', b""])
async def test_text_held_back_is_passed_on_before_a_failure(upstream: ScriptedServer, end: bytes) -> None:
    """It has to be charged, and shown."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '"half of a text'}}
    upstream.answers = [
        Answer([chunk({"content": "<thin"}), chunk({"tool_calls": [call]}), end], breaks_off=True)
    ]
    request = ModelRequest(model="m", messages=[], max_tokens=20)
    events: list[ModelEvent] = []

    async def read() -> None:
        async for event in CompatibleProvider(upstream.url).stream(request):
            events.append(event)

    with pytest.raises(ProviderError):
        await read()
    assert events[0] == TextDelta("<thin")
    assert isinstance(events[1], ToolCallDelta)
    assert events[1].calls[-1] == {"index": 0, "function": {"arguments": '"half of a text'}}


async def test_half_an_emoji_waits_for_its_other_half(upstream: ScriptedServer, events_of: Any) -> None:
    pieces = [
        b'data: {"choices": [{"delta": {"content": "\\u' + half + b'"}}]}\n\n' for half in (b"d83d", b"de00")
    ]
    upstream.answers = [Answer([*pieces, STOP, DONE])]
    assert await events_of(CompatibleProvider(upstream.url)) == [TextDelta("\U0001f600"), Finish("stop")]
