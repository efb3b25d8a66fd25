"""A call ends and is settled when its engine hangs up or its turn is stopped, at any moment."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import connection, transaction
from django.db.backends import utils
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.calls import metered
from gateway.calls.bounds import Bounds
from gateway.calls.channels import TURN_STOP, notify_stop
from gateway.calls.tests.test_metered import REQUEST, local_model
from gateway.egress.tests.engine import DONE, Engine, EngineTurn, counters, ledger, received, until_text
from gateway.models import Turn
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from kit import request_origin
from kit.pg_notify import notify
from kit.tenancy import in_public, tenant_scope
from quotas.models import BudgetWindow, Hold
from quotas.reservations import close_turn
from quotas.tests.test_holds import opened

Begin = Callable[..., EngineTurn]


def stop(turn: EngineTurn) -> None:
    with tenant_scope(turn.tenant):
        Turn.objects.filter(id=turn.id).update(stop_requested_at=timezone.now())
    notify_stop(turn.id)


def is_blocked() -> bool:
    """Whether another connection waits for our lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_an_engine_that_hangs_up_ends_the_call_upstream(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", "two ", threading.Event()])
    with engine.calling(begin()) as said:
        until_text(said, "One two ")
    assert provider.hangups.acquire(timeout=20)
    wait_until(lambda: ledger() == [(3, 2, "estimated")])
    assert counters() == (5, 0)


def test_an_engine_that_hangs_up_before_any_output_is_charged_the_prompt(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=[threading.Event()])
    with engine.calling(begin()) as said:
        next(said)
        wait_until(lambda: len(provider.requests) == 1)
    wait_until(lambda: ledger() == [(3, 0, "estimated")])


def test_an_engine_without_a_stream_can_hang_up_too(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", threading.Event()])
    turn = begin()
    with httpx.Client(base_url=engine.client.base_url, headers=engine.client.headers, timeout=2) as client:
        engine.client, original = client, engine.client
        with pytest.raises(httpx.ReadTimeout):
            engine.call(turn, stream=None)
        engine.client = original
    assert provider.hangups.acquire(timeout=20)
    wait_until(lambda: ledger() == [(3, 1, "estimated")])


@pytest.mark.parametrize("where", ["same egress", "other egress"])
def test_a_stop_of_the_turn_ends_its_call_immediately(
    engine: Engine, second_engine: Engine, begin: Begin, provider: ScriptedProvider, where: str
) -> None:
    provider.script = Script(steps=["One ", threading.Event()])
    turn = begin()
    with {"same egress": engine, "other egress": second_engine}[where].calling(turn) as said:
        until_text(said, "One ")
        stop(turn)
        with pytest.raises(httpx.RemoteProtocolError):
            list(said)
    assert provider.hangups.acquire(timeout=20)
    assert (ledger(), counters()) == ([(3, 1, "estimated")], (4, 0))
    assert engine.call(turn).status_code == 409


def test_a_stop_before_the_headers_is_a_status(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", threading.Event()])
    turn = begin()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(engine.call, turn, stream=None)
        wait_until(lambda: len(provider.requests) == 1)
        stop(turn)
        assert answer.result(5).status_code == 409
    assert counters() == (4, 0)


@pytest.mark.parametrize("table", ["public.quotas_reservation", "gateway_turn", "public.quotas_hold"])
def test_a_stop_while_the_call_is_checked_is_not_missed(
    engine: Engine, begin: Begin, provider: ScriptedProvider, table: str
) -> None:
    turn = begin()
    with ThreadPoolExecutor() as pool, tenant_scope(turn.tenant), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        answer = pool.submit(engine.call, turn)
        wait_until(is_blocked)
        pool.submit(notify_stop_elsewhere, turn.id).result(5)
        assert answer.result(5).status_code == 409
    assert (provider.requests, counters()) == ([], (0, 23))


def test_a_stop_while_the_hold_is_taken_releases_it(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    turn = begin()
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            list(BudgetWindow.objects.select_for_update())
            answer = pool.submit(engine.call, turn, max_tokens=50)
            wait_until(is_blocked)
            pool.submit(notify_stop_elsewhere, turn.id).result(5)
            with pytest.raises(TimeoutError):
                answer.result(0.2)
        assert answer.result(5).status_code == 409
    assert (provider.requests, counters(), Hold.objects.get().state) == ([], (0, 0), "released")


def test_a_stop_does_not_affect_other_turns_and_invalid_payloads_are_ignored(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.scripts = [Script(steps=["One ", gate, "two"]), Script(steps=["One ", threading.Event()])]
    with engine.calling(begin()) as said:
        until_text(said, "One ")
        notify(TURN_STOP, "nonsense")
        another = begin()
        with engine.calling(another) as cut:
            until_text(cut, "One ")
            stop(another)
            with pytest.raises(httpx.RemoteProtocolError):
                list(cut)
        gate.set()
        assert list(said)[-1] == DONE


def test_a_turn_that_is_closed_during_its_call_is_charged_once(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"], usage=(10, 20))
    turn = begin()
    with engine.calling(turn) as said:
        until_text(said, "One ")
        close_turn(turn_id=turn.id)
        assert counters() == (3, 0)
        gate.set()
        assert list(said)[-1] == DONE
    assert counters() == (30, 0)


def test_the_number_of_statements_does_not_grow_with_each_call(
    engine: Engine, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = statements(monkeypatch)
    turn, taken = begin(), []
    for number in range(12):
        seen.clear()
        received(engine.call(turn, messages=[{"role": "user", "content": f"call {number}"}]))
        taken.append(len(seen))
    assert set(taken[1:]) == {taken[1]}
    assert taken[1] <= 30


class TestInOneLoop:
    """Without a socket, so that the moment can be chosen."""

    pytestmark = pytest.mark.django_db(transaction=True)

    async def test_a_call_that_is_cancelled_while_taking_its_hold_releases_it(
        self, cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, hold = threading.Event(), metered.hold_call

        def slow_hold(**arguments: Any) -> None:
            begun.set()
            threading.Event().wait(0.1)
            hold(**arguments)

        monkeypatch.setattr(metered, "hold_call", slow_hold)
        task = asyncio.create_task(first_event(cast, await in_public(opened, cast)))
        while not begun.is_set():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await in_public(counters) == (0, 0)
        assert provider.requests == []

    async def test_a_call_that_ends_before_it_is_sent_costs_nothing(
        self, cast: Cast, provider: ScriptedProvider
    ) -> None:
        await first_event(cast, await in_public(opened, cast))
        assert (await in_public(counters), provider.requests) == ((0, 0), [])


async def first_event(cast: Cast, turn_id: UUID) -> None:
    bounds = Bounds(2, 20, counted=2)
    call = metered.metered_call(
        tenant=cast.alice.principal.tenant,
        turn_id=turn_id,
        models=[local_model()],
        request=REQUEST,
        bounds=bounds,
    )
    assert await anext(call) == metered.Held()
    await call.aclose()


def notify_stop_elsewhere(turn_id: UUID) -> None:
    """Sends the notification from another connection."""
    try:
        notify_stop(turn_id)
    finally:
        connection.close()


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects every statement of a request, in any thread, except those that set the schema.

    Periodic statements of the processes belong to no request and are not counted.
    """
    seen: list[str] = []
    execute = utils.CursorWrapper.execute

    def count(self: Any, sql: Any, params: Any = None) -> Any:
        if request_origin.current().request_id and not str(sql).startswith("SET search_path"):
            seen.append(str(sql))
        return execute(self, sql, params)

    monkeypatch.setattr(utils.CursorWrapper, "execute", count)
    return seen
