"""A reply as the page follows it: drawn text by text, and to its end, whatever the page saw before."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from gateway.api.browser import drawn_frames
from gateway.turns.transcript import NumberedEvent

STARTED = NumberedEvent(1, "started", {})
ENDING = [NumberedEvent(7, "error", {}), NumberedEvent(8, "usage", {}), NumberedEvent(9, "done", {})]


async def frames(events: list[NumberedEvent], after: int = 0) -> list[tuple[str, dict[str, object]]]:
    async def told() -> AsyncIterator[list[NumberedEvent]]:
        yield events

    drawn = [frame.decode().split("\n") async for frame in drawn_frames(told(), after)]
    return [
        (kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, kind, data, *_ in drawn
    ]


async def test_whoever_saw_more_than_was_kept_is_told_the_end() -> None:
    kept = [STARTED, NumberedEvent(6, "delta", {"text": "Hello"}), *ENDING]
    assert [kind for kind, _ in await frames(kept, after=40)] == ["html", "error", "usage", "done"]


async def test_what_was_told_is_not_told_again() -> None:
    call = NumberedEvent(2, "tool_call", {})
    assert [kind for kind, _ in await frames([STARTED, call, *ENDING], after=2)] == ["error", "usage", "done"]


REPLACED = [
    STARTED,
    NumberedEvent(4, "delta", {"text": "two"}),
    NumberedEvent(5, "replace", {"positions": 3}),
    NumberedEvent(12, "delta", {"text": "one two"}),
]


async def test_a_replaced_reply_is_drawn_anew_from_its_first_block() -> None:
    told = await frames(REPLACED)
    assert [kind for kind, _ in told] == ["started", "replace", "html"]
    assert told[-1][1] == {"segment": 0, "from": 0, "blocks": ["<p>one two</p>"]}


async def test_a_page_that_comes_back_after_a_replacement_gets_the_new_reply_alone() -> None:
    call = NumberedEvent(5, "tool_call", {})
    later = [NumberedEvent(6, "replace", {"positions": 4}), NumberedEvent(13, "delta", {"text": "one two"})]
    told = await frames([*REPLACED[:2], call, *later], after=13)
    assert told == [("html", {"segment": 0, "from": 0, "blocks": ["<p>one two</p>"]})]


async def test_a_text_that_says_nothing_takes_no_place_before_a_tool() -> None:
    blank, text = NumberedEvent(3, "delta", {"text": "\n\n"}), NumberedEvent(6, "delta", {"text": "Hi"})
    told = await frames([STARTED, blank, NumberedEvent(4, "tool_call", {}), text])
    assert [kind for kind, _ in told] == ["started", "tool_call", "html"]
    assert told[-1][1] == {"segment": 0, "from": 0, "blocks": ["<p>Hi</p>"]}


async def test_drawing_shares_no_threads_with_what_looks_up_names() -> None:
    """Neither waits for the other: here the loop's own one thread is taken the whole time."""
    taken, done = threading.Event(), threading.Event()

    def occupy() -> None:
        taken.set()
        done.wait(20)

    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    occupied = loop.run_in_executor(None, occupy)
    try:
        while not taken.is_set():
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            told = await frames([STARTED, NumberedEvent(2, "delta", {"text": "`code`"}), *ENDING])
    finally:
        done.set()
        await occupied
    assert "html" in [kind for kind, _ in told]
