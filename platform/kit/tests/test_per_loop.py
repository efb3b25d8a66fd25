"""Each event loop has a value of its own, until it gives it up or ends."""

import asyncio

import pytest

from kit.per_loop import PerLoop, close_values


def test_a_loop_keeps_its_value_and_another_loop_has_another() -> None:
    values: PerLoop[object] = PerLoop(object)

    async def twice() -> tuple[object, object]:
        return values.get(), values.get()

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())
    assert first is again
    assert first is not other


async def test_what_is_taken_is_made_anew() -> None:
    values: PerLoop[object] = PerLoop(object)
    first = values.get()
    assert values.take() is first
    assert values.take() is None
    assert values.get() is not first


class Connection:
    """Notes whether it was closed while there still was a loop to wait in."""

    is_closed = False

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.is_closed = True


@pytest.fixture
def connections() -> PerLoop[Connection]:
    return PerLoop(Connection, close=Connection.close)


def test_a_value_is_closed_with_its_loop(connections: PerLoop[Connection]) -> None:
    async def use() -> Connection:
        found = connections.get()
        await asyncio.sleep(0)
        assert connections.get() is found
        assert not found.is_closed
        return found

    assert asyncio.run(use()).is_closed


def test_a_loop_that_fails_closes_its_value_too(connections: PerLoop[Connection]) -> None:
    used = []

    async def fail() -> None:
        used.append(connections.get())
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(fail())
    assert used[0].is_closed


def test_what_was_taken_is_for_the_taker_to_close(connections: PerLoop[Connection]) -> None:
    async def use() -> tuple[Connection | None, Connection]:
        connections.get()
        return connections.take(), connections.get()

    taken, kept = asyncio.run(use())
    assert taken is not None
    assert not taken.is_closed
    assert kept.is_closed


async def test_a_loop_that_will_not_end_in_order_can_close_its_values(
    connections: PerLoop[Connection],
) -> None:
    first = connections.get()
    await close_values()
    await close_values()
    assert first.is_closed
    assert connections.get() is not first
