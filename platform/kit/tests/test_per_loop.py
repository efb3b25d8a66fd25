"""Each event loop has a value of its own until it gives it up."""

import asyncio

from kit.per_loop import PerLoop


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
