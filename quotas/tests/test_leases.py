"""Leases are renewed and streams noted for all of a process in one statement, despite locks."""

import asyncio
from datetime import timedelta
from threading import Event, Thread
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.tests.cast import Cast
from kit.tenancy import in_public
from quotas.hold_states import mark_sent
from quotas.holds import hold_call
from quotas.leases import note_streams, renew_leases
from quotas.models import Hold, Reservation
from quotas.planned_calls import Payer
from quotas.reservations import close_turn, expired_reservations, open_turn, take_over
from quotas.tests.ledger import planned_call

pytestmark = pytest.mark.django_db(transaction=True)
US, OTHERS = uuid4(), uuid4()


def opened(cast: Cast, *, lease: int = 60, holder: UUID = US) -> UUID:
    turn_id = uuid4()
    open_turn(
        turn_id=turn_id,
        payer=Payer.of(cast.alice.principal),
        call=planned_call(2, 3),
        purpose="chat",
        engine="direct",
        lease_seconds=lease,
        holder=holder,
    )
    return turn_id


async def renewed(*turn_ids: UUID, lease: int = 60) -> set[UUID]:
    """The lost turns."""
    return await renew_leases(turn_ids, holder=US, lease_seconds=lease)


def end_leases() -> None:
    Reservation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=30))


async def test_an_expired_lease_is_renewed_while_the_turn_is_open(cast: Cast) -> None:
    turns = [await in_public(opened, cast) for _ in range(3)]
    await in_public(end_leases)
    assert len(await in_public(expired_reservations)) == 3
    assert await renewed(*turns) == set()
    assert await in_public(expired_reservations) == []


async def test_a_turn_that_was_closed_or_taken_over_is_lost_and_not_renewed(cast: Cast) -> None:
    ours, closed, taken = [await in_public(opened, cast) for _ in range(3)]
    await in_public(close_turn, turn_id=closed)
    await in_public(end_leases)
    assert await in_public(take_over, turn_id=taken, holder=OTHERS, lease_seconds=1)
    deleted = uuid4()
    assert await renewed(ours, closed, taken, deleted) == {closed, taken, deleted}
    leases = dict(await in_public(lambda: list(Reservation.objects.values_list("id", "lease_expires_at"))))
    assert leases[taken] < timezone.now() + timedelta(seconds=5)


async def test_a_locked_row_does_not_delay_the_others(cast: Cast) -> None:
    locked, free = [await in_public(opened, cast) for _ in range(2)]
    call_id = uuid4()
    await in_public(hold_call, turn_id=free, call_id=call_id, call=planned_call(2, 3))
    await in_public(mark_sent, call_id=call_id)
    await in_public(end_leases)
    with locking(locked):
        async with asyncio.timeout(20):
            assert await renewed(locked, free) == set()
            await note_streams({call_id: 17, uuid4(): 3})
        assert [lost.turn_id for lost in await in_public(expired_reservations)] == [locked]
    assert (await in_public(Hold.objects.get, call_id=call_id)).streamed_tokens == 17
    assert await renewed(locked, free) == set()
    assert await in_public(expired_reservations) == []


class locking:
    """Holds the reservation's row from another connection."""

    def __init__(self, turn_id: UUID) -> None:
        self.turn_id = turn_id
        self.holds, self.lets_go = Event(), Event()
        self.thread = Thread(target=self._lock)

    def __enter__(self) -> None:
        self.thread.start()
        assert self.holds.wait(20)

    def __exit__(self, *_: object) -> None:
        self.lets_go.set()
        self.thread.join()

    def _lock(self) -> None:
        with transaction.atomic():
            Reservation.objects.select_for_update().get(id=self.turn_id)
            self.holds.set()
            self.lets_go.wait(60)
        connection.close()
