"""Each event loop has its own value, until the value is taken or the loop ends."""

import asyncio

import pytest

from kit.per_loop import PerLoop, close_values


def test_each_loop_has_its_own_value() -> None:
    values: PerLoop[object] = PerLoop(object)

    async def twice() -> tuple[object, object]:
        return values.get(), values.get()

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())
    assert first is again
    assert first is not other


async def test_a_taken_value_is_created_again() -> None:
    values: PerLoop[object] = PerLoop(object)
    first = values.get()
    assert values.take() is first
    assert values.take() is None
    assert values.get() is not first


class Connection:
    """Records whether it was closed while its loop was still running."""

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


def test_a_taken_value_is_not_closed_with_its_loop(connections: PerLoop[Connection]) -> None:
    async def use() -> tuple[Connection | None, Connection]:
        connections.get()
        return connections.take(), connections.get()

    taken, remaining = asyncio.run(use())
    assert taken is not None
    assert not taken.is_closed
    assert remaining.is_closed


async def test_values_can_be_closed_before_the_loop_ends(
    connections: PerLoop[Connection],
) -> None:
    first = connections.get()
    await close_values()
    await close_values()
    assert first.is_closed
    assert connections.get() is not first
