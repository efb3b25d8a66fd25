"""A reply that exceeds its bound by far is cut off, and what arrived is charged."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from accounts.tests.cast import Cast
from gateway.calls.bounds import Bounds
from gateway.calls.metered import metered_call
from gateway.calls.tests.test_charges import model_at, reachable
from gateway.providers.base import Finish, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from gateway.providers.sizes import FEW_PIECES, most_in_few_pieces, most_pieces, most_streamed
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from kit.tenancy import in_public
from kit.tests.cpu_time import allowed
from quotas.models import BudgetWindow, UsageRecord
from quotas.planned_calls import Payer
from quotas.reservations import close_turn, open_turn
from quotas.tests.ledger import planned_call

pytestmark = pytest.mark.django_db(transaction=True)
BOUNDS = Bounds(prompt=200, output=16)
REQUEST = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=16)
ENDLESS = 2000  # times that a piece is sent before the test gives up: 16 MB of the large ones


def piece(delta: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode()


def call(at: int, arguments: str = "") -> dict[str, Any]:
    return {"tool_calls": [{"index": at, "id": f"c{at}", "function": {"name": "f", "arguments": arguments}}]}


CUSTOM = {"tool_calls": [{"index": 0, "id": "c", "custom": {"name": "f", "input": "x" * 8000}}]}
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 16}}\n\n'
END = (
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    + USAGE
    + b"data: [DONE]\n\n"
)
FLOODS = {
    "text": [piece({"content": "word " * 1600})] * ENDLESS,
    "reasoning": [piece({"reasoning_content": "think " * 1600})] * ENDLESS,
    "texts": [piece(call(0, '"')), *[piece(call(0, "x" * 8000))] * ENDLESS],
    "objects": [piece(call(0, '{"x": "')), *[piece(call(0, "x" * 8000))] * ENDLESS],
    "white space": [piece({"content": " " * 8000})] * ENDLESS,
    "refusal": [piece({"refusal": "never " * 1600})] * ENDLESS,
    "arguments": [piece(call(0, "x" * 8000))] * ENDLESS,
    "custom input": [piece(CUSTOM)] * ENDLESS,
    "calls": [b"".join(piece(call(at)) for at in range(ENDLESS))],
    "one chunk of calls": [piece({"tool_calls": [call(at)["tool_calls"][0] for at in range(1000)]})],
    "letters": [piece({"content": "a"}) * 100] * 100,
    "with counts in between": [USAGE, *[USAGE + piece({"content": "word " * 1600})] * ENDLESS],
}


async def turn_of(cast: Cast) -> UUID:
    turn_id = uuid4()
    await in_public(
        open_turn,
        turn_id=turn_id,
        payer=Payer.of(cast.alice.principal),
        call=planned_call(BOUNDS.prompt, BOUNDS.output),
        purpose="chat",
        engine="direct",
        lease_seconds=60,
    )
    return turn_id


async def events_of(cast: Cast, upstream: ScriptedServer, kind: str = "compatible") -> list[Any]:
    turn_id = await turn_of(cast)
    with reachable(upstream.port):
        wanted: AsyncGenerator[Any, None] = metered_call(
            tenant=cast.alice.principal.tenant,
            turn_id=turn_id,
            models=[model_at(upstream.url, kind)],
            request=REQUEST,
            bounds=BOUNDS,
        )
        async with aclosing(wanted) as events:
            found = [event async for event in events]
    await in_public(close_turn, turn_id=turn_id)
    return found


def size_of(events: list[Any]) -> int:
    texts = [event.text for event in events if isinstance(event, TextDelta | ReasoningDelta)]
    calls = [call for event in events if isinstance(event, ToolCallDelta) for call in event.calls]
    return len("".join(texts)) + sum(len(json.dumps(call)) for call in calls)


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_reply_far_beyond_its_bound_ends_by_length(cast: Cast, kind: str) -> None:
    async with ScriptedServer() as upstream:
        upstream.answers = [Answer([*FLOODS[kind], END])]
        events = await events_of(cast, upstream)
    assert events[-1] == Finish("length")
    assert size_of(events) <= most_streamed(16) + 100_000
    line = await in_public(UsageRecord.objects.get)
    assert (line.flag, line.exactness) == ("cut_off", "estimated")
    assert line.output_tokens >= size_of([e for e in events if not isinstance(e, ToolCallDelta)]) / 5
    assert line.input_tokens + line.output_tokens <= BOUNDS.most
    assert (await in_public(BudgetWindow.objects.get)).reserved == 0


@pytest.mark.parametrize(("size", "pieces"), [(12_000, 1), (500, FEW_PIECES * 3)])
async def test_no_byte_beyond_the_cut_is_passed_on(cast: Cast, size: int, pieces: int) -> None:
    """A reply in few pieces may be that of a server that does not stream, so it has a larger limit."""
    async with ScriptedServer() as upstream:
        upstream.answers = [Answer([*[piece({"content": "é" * size})] * pieces, END])]
        events = await events_of(cast, upstream)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    most = most_in_few_pieces(16) if pieces <= FEW_PIECES else most_streamed(16) + FEW_PIECES * size * 2
    assert most_streamed(16) <= len(text.encode()) <= most
    assert text == "é" * len(text)
    assert events[-1] == Finish("length")
    line = await in_public(UsageRecord.objects.get)
    assert line.output_tokens >= len(text.encode()) / 4, "what arrived is charged, even beyond the cut"


@pytest.mark.parametrize(
    "texts",
    [
        ["-" * 80] * 16,  # one token each
        ["w"] * most_pieces(16),  # one letter per piece
        ["It is a long word. " * 4] * 16,
    ],
)
async def test_a_reply_that_may_be_within_its_bound_is_not_cut_off(cast: Cast, texts: list[str]) -> None:
    async with ScriptedServer() as upstream:
        upstream.answers = [Answer([*(piece({"content": text}) for text in texts), END])]
        events = await events_of(cast, upstream)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "".join(texts)
    assert events[-1] == Finish("stop")


async def test_an_endless_line_is_charged_up_to_the_cut(cast: Cast) -> None:
    begun = b'data: {"choices": [{"index": 0, "delta": {"content": "'
    async with ScriptedServer() as upstream:
        upstream.answers = [Answer([begun, *[b"word " * 2000] * ENDLESS])]
        with pytest.raises(Exception, match="invalid response"):
            await events_of(cast, upstream)
    line = await in_public(UsageRecord.objects.get)
    assert most_streamed(16) // 4 <= line.output_tokens <= most_streamed(16)


async def test_other_tasks_run_during_a_flood(cast: Cast) -> None:
    """A provider that sends faster than it is read must not block the event loop."""
    longest = 0.0  # CPU seconds that others waited for

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watcher = asyncio.create_task(watch())
    with override_settings(PROVIDER_READ_ON_SECONDS=0):
        async with ScriptedServer() as upstream:
            upstream.answers = [Answer([*FLOODS["letters"], END])]
            await events_of(cast, upstream)
    watcher.cancel()
    assert longest < allowed(0.5, longest)
