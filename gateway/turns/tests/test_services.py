"""Turns are started and stopped without a web request: by a worker, in an event loop of its own."""

import asyncio
import threading
from uuid import UUID

import pytest

from accounts.principals import Principal
from accounts.tests.cast import Cast
from gateway.models import Turn
from gateway.tests.events import body
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.turns import background
from gateway.turns.event_stream import follow_turn, reply_of
from gateway.turns.events import Done, NumberedEvent
from gateway.turns.requests import SendRequest
from gateway.turns.services import start_turn, stop_turn
from kit.tenancy import tenant_scope

pytestmark = pytest.mark.django_db(transaction=True)


async def events_of(principal: Principal, turn_id: UUID) -> list[NumberedEvent]:
    return [event async for batch in follow_turn(principal, turn_id) for event in batch]


def test_a_worker_starts_a_turn_and_reads_its_reply(cast: Cast, provider: ScriptedProvider) -> None:
    principal = cast.alice.principal

    async def work() -> tuple[UUID, list[NumberedEvent]]:
        try:
            admitted = await start_turn(principal, SendRequest.parse(body("hi")))
            return admitted.turn_id, await events_of(principal, admitted.turn_id)
        finally:
            await background.stop()

    turn_id, events = asyncio.run(work())
    assert (reply_of(events), events[-1].event) == ("Hello there.", Done("stop"))
    with tenant_scope(principal.tenant):
        turn = Turn.objects.get(id=turn_id)
        assert (turn.is_done, turn.reply) == (True, "Hello there.")
        assert not Turn.objects.running().exists()


def test_a_worker_stops_its_turn(cast: Cast, provider: ScriptedProvider) -> None:
    principal = cast.alice.principal
    provider.script = Script(steps=["Once ", threading.Event()])

    async def work() -> list[NumberedEvent]:
        try:
            admitted = await start_turn(principal, SendRequest.parse(body("a tale")))
            followed = asyncio.create_task(events_of(principal, admitted.turn_id))
            assert await stop_turn(principal, admitted.turn_id) == Turn.Status.RUNNING
            return await followed
        finally:
            await background.stop()

    assert asyncio.run(work())[-1].event == Done("cancelled")


def test_a_repeated_key_gives_the_same_turn(cast: Cast, provider: ScriptedProvider) -> None:
    principal = cast.alice.principal

    async def work() -> tuple[UUID, UUID]:
        try:
            request = SendRequest.parse(body("hi"), idempotency_key="step-1")
            first = await start_turn(principal, request)
            await events_of(principal, first.turn_id)
            return first.turn_id, (await start_turn(principal, request)).turn_id
        finally:
            await background.stop()

    first, again = asyncio.run(work())
    assert first == again
    assert len(provider.requests) == 1
