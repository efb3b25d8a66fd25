"""A reply as HTML for the page that follows it, to its end, from any point that the page has reached."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from gateway.api.browser import html_frames
from gateway.engines.events import Replacement, ToolCall
from gateway.providers.base import TextDelta
from gateway.turns.events import Done, Failed, NumberedEvent, Started, UsageTotal
from quotas.prices import Usage

STARTED = NumberedEvent(1, Started(None, "turn", "local"))
ENDING = [
    NumberedEvent(7, Failed({})),
    NumberedEvent(8, UsageTotal(Usage(0, 0), None)),
    NumberedEvent(9, Done("stop")),
]
CALL = ToolCall("c1", None, "look", {})


async def frames(events: list[NumberedEvent], after: int = 0) -> list[tuple[str, dict[str, object]]]:
    async def batches() -> AsyncIterator[list[NumberedEvent]]:
        yield events

    drawn = [frame.decode().split("\n") async for frame in html_frames(batches(), after)]
    return [
        (kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, kind, data, *_ in drawn
    ]


async def test_a_client_that_saw_more_than_was_stored_gets_the_end() -> None:
    stored = [STARTED, NumberedEvent(6, TextDelta("Hello")), *ENDING]
    assert [kind for kind, _ in await frames(stored, after=40)] == ["html", "error", "usage", "done"]


async def test_events_that_were_sent_are_not_sent_again() -> None:
    call = NumberedEvent(2, CALL)
    assert [kind for kind, _ in await frames([STARTED, call, *ENDING], after=2)] == ["error", "usage", "done"]


REPLACED = [
    STARTED,
    NumberedEvent(4, TextDelta("two")),
    NumberedEvent(5, Replacement(3)),
    NumberedEvent(12, TextDelta("one two")),
]


async def test_a_replaced_reply_is_rendered_from_its_first_block() -> None:
    sent = await frames(REPLACED)
    assert [kind for kind, _ in sent] == ["started", "replace", "html"]
    assert sent[-1][1] == {"segment": 0, "from": 0, "blocks": ["<p>one two</p>"]}


async def test_a_page_that_resumes_after_a_replacement_gets_only_the_new_reply() -> None:
    call = NumberedEvent(5, CALL)
    later = [NumberedEvent(6, Replacement(4)), NumberedEvent(13, TextDelta("one two"))]
    sent = await frames([*REPLACED[:2], call, *later], after=13)
    assert sent == [("html", {"segment": 0, "from": 0, "blocks": ["<p>one two</p>"]})]


async def test_a_blank_text_before_a_tool_is_not_a_segment() -> None:
    blank, text = NumberedEvent(3, TextDelta("\n\n")), NumberedEvent(6, TextDelta("Hi"))
    sent = await frames([STARTED, blank, NumberedEvent(4, CALL), text])
    assert [kind for kind, _ in sent] == ["started", "tool_call", "html"]
    assert sent[-1][1] == {"segment": 0, "from": 0, "blocks": ["<p>Hi</p>"]}


async def test_rendering_shares_no_threads_with_name_resolution() -> None:
    """Neither waits for the other: here the loop's only own thread is busy the whole time."""
    taken, done = threading.Event(), threading.Event()

    def occupy() -> None:
        taken.set()
        done.wait(60)

    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    occupied = loop.run_in_executor(None, occupy)
    try:
        while not taken.is_set():
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            sent = await frames([STARTED, NumberedEvent(2, TextDelta("`code`")), *ENDING])
    finally:
        done.set()
        await occupied
    assert "html" in [kind for kind, _ in sent]
