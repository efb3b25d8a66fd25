"""A metered call is settled however it ends: cancelled at any moment, exactly if the provider counted."""

import asyncio
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.calls import metered
from gateway.calls.bounds import Bounds
from gateway.calls.metered import Held, metered_call
from gateway.providers.base import Answering, ModelRequest, TextDelta
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.errors import TurnInterrupted
from kit.tenancy import in_public
from quotas.models import BudgetWindow, Hold, UsageRecord
from quotas.reservations import close_turn
from quotas.tests.test_holds import opened
from workspaces.language_models.queries import ModelRef

pytestmark = pytest.mark.django_db(transaction=True)


def local_model() -> ModelRef:
    return ModelRef(uuid4(), "local", "Local", "local", "m", 4096, 512, True, timezone.now())


REQUEST = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=20)


async def consume(cast: Cast, turn_id: UUID) -> list[Any]:
    call = metered_call(
        tenant=cast.alice.principal.tenant,
        turn_id=turn_id,
        models=[local_model()],
        request=REQUEST,
        bounds=Bounds(2, 20, counted=2),
    )
    return [event async for event in call]


def record_of() -> tuple[int, int, str, str]:
    record = UsageRecord.objects.get()
    return record.input_tokens, record.output_tokens, record.exactness, Hold.objects.get().state


async def test_a_cancellation_while_settling_does_not_lose_the_exact_count(
    cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.script = Script(steps=["a "], usage=(100, 400))
    settling = asyncio.Event()
    settle = metered._Call.settle

    async def slow_settle(call: Any, usage: Any) -> None:
        settling.set()
        await asyncio.sleep(0.05)  # the cancellation arrives in this window
        await settle(call, usage)

    monkeypatch.setattr(metered._Call, "settle", slow_settle)
    task = asyncio.create_task(consume(cast, await in_public(opened, cast)))
    await settling.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await in_public(record_of) == (100, 400, "exact", "settled")


async def test_a_call_whose_turn_was_closed_before_it_was_sent_is_not_sent(
    cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_id = await in_public(opened, cast)
    mark = metered.mark_sent

    def close_then_mark(*, call_id: UUID) -> None:
        close_turn(turn_id=turn_id)
        mark(call_id=call_id)

    monkeypatch.setattr(metered, "mark_sent", close_then_mark)
    with pytest.raises(TurnInterrupted):
        await consume(cast, turn_id)
    assert provider.requests == []
    assert await in_public(counters) == (0, 0)


async def test_a_call_that_could_not_be_marked_as_sent_is_not_charged(
    cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*, call_id: UUID) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(metered, "mark_sent", fail)
    with pytest.raises(OSError, match="away"):
        await consume(cast, await in_public(opened, cast))
    assert provider.requests == []
    assert await in_public(counters) == (0, 0)


async def test_a_reader_that_leaves_is_charged_the_prompt_and_the_streamed_output(
    cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["one ", threading.Event()])
    turn_id = await in_public(opened, cast)
    call = metered_call(
        tenant=cast.alice.principal.tenant,
        turn_id=turn_id,
        models=[local_model()],
        request=REQUEST,
        bounds=Bounds(2, 20, counted=2),
    )
    held, answering, text = [await anext(call) for _ in range(3)]
    assert (held, text) == (Held(), TextDelta("one "))
    assert isinstance(answering, Answering)
    assert (answering.model, answering.provider) == ("local", "local")
    await call.aclose()
    assert await in_public(record_of) == (2, 1, "estimated", "settled")


def counters() -> tuple[int, int]:
    window = BudgetWindow.objects.get()
    return window.used, window.reserved
