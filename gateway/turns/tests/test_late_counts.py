"""A reply whose reader leaves is read to its end: the provider's count is charged, and no one waits."""

import asyncio
import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.calls.bounds import Bounds
from gateway.calls.late_counts import ReadingOn, reading_on
from gateway.calls.metered import metered_call
from gateway.calls.tests.test_metered import REQUEST, local_model
from gateway.models import Conversation, Turn
from gateway.providers.base import TextDelta
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns.closing import recover_turns
from kit.tenancy import in_public, tenant_scope
from quotas.hold_states import mark_sent
from quotas.holds import read_on_until
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Hold, UsageRecord
from quotas.reservations import close_turn
from quotas.tests.test_holds import held, opened

HELLO = [{"role": "user", "content": "Say hello"}]


def lines() -> list[tuple[int, int, str]]:
    return [
        (row.input_tokens, row.output_tokens, row.exactness) for row in UsageRecord.objects.order_by("id")
    ]


def reserved() -> int:
    return BudgetWindow.objects.get().reserved


def is_read_on() -> bool:
    return Hold.objects.filter(read_on_until__isnull=False).exists()


def leave_after(server: Served, cast: Cast, text: str) -> None:
    body = {"model": "local", "messages": HELLO, "stream": True, "max_tokens": 30}
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=cast.alice.headers) as answer:
        next(line for line in answer.iter_lines() if text in line)


@pytest.fixture
def gate(provider: ScriptedProvider, settings: Any) -> threading.Event:
    """Lets the reply go on that is stopped after "One "; its provider counts 123 and 9 tokens."""
    settings.PROVIDER_READ_ON_SECONDS = 20
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two."], usage=(123, 9))
    return gate


def test_a_client_that_leaves_near_the_end_is_charged_the_providers_count(
    server: Served, cast: Cast, gate: threading.Event
) -> None:
    leave_after(server, cast, "One ")
    wait_until(is_read_on)
    with tenant_scope(cast.alice.principal.tenant):
        wait_until(lambda: Turn.objects.get().status == Turn.Status.DONE)
    assert (lines(), reserved()) == ([], 33), "the hold stays until the count is known"
    gate.set()
    wait_until(lambda: lines() == [(123, 9, "exact")])
    assert (reserved(), check_ledger().differences) == (0, [])
    with tenant_scope(cast.alice.principal.tenant):
        wait_until(lambda: Turn.objects.get().exactness == "exact")


def test_a_stop_does_not_wait_for_the_providers_count(
    client_of: Any, cast: Cast, gate: threading.Event
) -> None:
    client = client_of(cast.alice)
    payload = {"message": "Say hello", "model": "local", "max_tokens": 30}
    with client.stream(
        "POST", "/v1/chat/send", json=payload, headers={"accept": "text/event-stream"}
    ) as answer:
        said = answer.iter_lines()
        next(line for line in said if "One " in line)
        with tenant_scope(cast.alice.principal.tenant):
            turn_id = Turn.objects.get().id
        assert client.post(f"/v1/chat/turns/{turn_id}/stop").status_code < 300
        ending = "\n".join(said)
    assert '"finish_reason":"cancelled"' in ending
    assert '"exactness":"estimated"' in ending
    received = client.get(f"/v1/chat/turns/{turn_id}").json()["usage"]
    assert (received["input_tokens"], received["output_tokens"]) == (3, 1), "the count so far"
    assert reserved() == 33
    assert check_ledger().differences == []
    gate.set()
    wait_until(lambda: lines() == [(123, 9, "exact")])
    wait_until(lambda: client.get(f"/v1/chat/turns/{turn_id}").json()["usage"]["total_tokens"] == 132)
    with tenant_scope(cast.alice.principal.tenant):
        assert Conversation.objects.get().total_tokens == 132
    assert reserved() == 0


def test_a_reply_that_is_read_for_too_long_is_cancelled_and_estimated(
    server: Served, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.PROVIDER_READ_ON_SECONDS = 1
    provider.script = Script(steps=["One ", threading.Event()])
    leave_after(server, cast, "One ")
    assert provider.hangups.acquire(timeout=20)
    wait_until(lambda: lines() == [(3, 1, "estimated")])
    assert reserved() == 0


def test_a_reply_that_is_too_large_is_cancelled_and_estimated(
    server: Served, cast: Cast, gate: threading.Event, provider: ScriptedProvider, settings: Any
) -> None:
    settings.PROVIDER_READ_ON_BYTES = 1000
    provider.script.steps = ["One ", gate, *["word " * 50] * 10, threading.Event()]
    leave_after(server, cast, "One ")
    wait_until(is_read_on)  # text from before the leaving was noticed would not count
    gate.set()
    assert provider.hangups.acquire(timeout=20)
    wait_until(lambda: bool(lines()))
    [(_, written, exactness)] = lines()
    assert 200 <= written <= 501
    assert exactness == "estimated"


def test_a_call_whose_process_died_while_it_was_read_on_is_written_off(
    cast: Cast, transactional_db: None
) -> None:
    turn_id = opened(cast)
    call_id = held(turn_id)
    mark_sent(call_id=call_id)
    assert read_on_until(call_id=call_id, seconds=5, streamed_tokens=7)
    close_turn(turn_id=turn_id)
    asyncio.run(recover_turns())
    assert (lines(), reserved(), check_ledger().differences) == ([], 30, [])
    Hold.objects.update(read_on_until=timezone.now())
    asyncio.run(recover_turns())
    assert (lines(), reserved(), check_ledger().differences) == ([(10, 7, "estimated")], 0, [])
    assert not read_on_until(call_id=call_id, seconds=5, streamed_tokens=7), "it has ended"


@pytest.mark.django_db(transaction=True)
class TestInOneLoop:
    async def left_call(self, cast: Cast) -> None:
        turn_id = await in_public(opened, cast)
        bounds = Bounds(2, 20, counted=2)
        call = metered_call(
            tenant=cast.alice.principal.tenant,
            turn_id=turn_id,
            models=[local_model()],
            request=REQUEST,
            bounds=bounds,
        )
        async for event in call:
            if event == TextDelta("One "):
                break
        await call.aclose()
        await in_public(close_turn, turn_id=turn_id)

    async def test_a_stopping_process_settles_immediately(self, cast: Cast, gate: threading.Event) -> None:
        await self.left_call(cast)
        assert (await in_public(lines), await in_public(reserved)) == ([], 22)
        await reading_on().settle_all()
        assert (await in_public(lines), await in_public(reserved)) == ([(2, 1, "estimated")], 0)

    async def test_a_stopping_process_accepts_no_call(self, cast: Cast, gate: threading.Event) -> None:
        await reading_on().settle_all()
        await self.left_call(cast)
        assert (await in_public(lines), await in_public(reserved)) == ([(2, 1, "estimated")], 0)

    async def test_a_call_that_has_ended_elsewhere_is_not_taken(self, cast: Cast, settings: Any) -> None:
        settings.PROVIDER_READ_ON_SECONDS = 20

        class Gone:
            id, turn_id, streamed_tokens = uuid4(), uuid4(), 1
            tenant = cast.alice.principal.tenant

        assert not await ReadingOn().take(Gone(), None)  # type: ignore[arg-type]
