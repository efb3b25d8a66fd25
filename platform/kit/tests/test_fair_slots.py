"""Expensive work is shared fairly: nobody's queue keeps others from their turn."""

import threading
from collections.abc import Iterator

import pytest

from gateway.tests.wait import wait_until
from kit.errors import AtCapacity
from kit.fair_slots import FairSlots


class Stand:
    """Work that ends when it is let go, and the order in which it began."""

    def __init__(self) -> None:
        self.slots = FairSlots(most=2, wait_seconds=20, most_waiting=3, busy="Too many.")
        self.begun: list[str] = []
        self.ends: dict[str, threading.Event] = {}
        self.threads: list[threading.Thread] = []

    def start(self, name: str, *payers: str) -> None:
        self.ends[name] = threading.Event()
        self.threads.append(threading.Thread(target=self._work, args=(name, payers)))
        waiting = len(self.slots._waiting) + len(self.begun)
        self.threads[-1].start()
        wait_until(lambda: len(self.slots._waiting) + len(self.begun) > waiting)

    def _work(self, name: str, payers: tuple[str, ...]) -> None:
        with self.slots.taken(payers):
            self.begun.append(name)
            self.ends[name].wait(20)

    def end(self, name: str, expected: list[str]) -> None:
        """Lets one go; what has begun by then is as expected."""
        self.ends[name].set()
        wait_until(lambda: len(self.begun) >= len(expected))
        assert self.begun == expected


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    for end in stand.ends.values():
        end.set()
    for thread in stand.threads:
        thread.join(20)


def test_who_sends_many_gets_one_slot_and_others_the_next_turn(stand: Stand) -> None:
    for number in range(4):
        stand.start(f"flood {number}", "globex", "eve")
    stand.start("bob", "acme", "bob")
    wait_until(lambda: len(stand.begun) == 2)
    assert stand.begun == ["flood 0", "bob"]
    stand.start("dana", "initech", "dana")
    stand.end("flood 0", ["flood 0", "bob", "dana"])  # though the flood has waited longer
    stand.end("bob", ["flood 0", "bob", "dana", "flood 1"])


def test_people_of_a_tenant_take_turns(stand: Stand) -> None:
    for number in range(3):
        stand.start(f"alice {number}", "acme", "alice")
    stand.start("bob", "acme", "bob")
    stand.end("alice 0", ["alice 0", "bob"])
    stand.end("bob", ["alice 0", "bob", "alice 1"])


def test_a_person_holds_one_slot_whatever_else_pays_with_them(stand: Stand) -> None:
    stand.start("profile picture", "eve")
    stand.start("image in a chat", "globex", "eve")
    stand.start("image in another team", "initech", "eve")
    stand.start("bob", "globex", "bob")  # a profile picture takes no turn of the team
    wait_until(lambda: len(stand.begun) == 2)
    assert stand.begun == ["profile picture", "bob"]
    stand.end("profile picture", ["profile picture", "bob", "image in another team"])
    stand.start("profile picture of bob", "bob")
    stand.end("image in another team", ["profile picture", "bob", "image in another team"])
    stand.ends["bob"].set()
    wait_until(lambda: len(stand.begun) == 5)
    assert set(stand.begun[3:]) == {"profile picture of bob", "image in a chat"}


def test_more_than_may_wait_are_refused_for_that_person_only(stand: Stand) -> None:
    for number in range(4):  # one runs, three wait
        stand.start(f"eve {number}", "globex", "eve")
    with pytest.raises(AtCapacity), stand.slots.taken(("globex", "eve")):
        pass
    stand.start("bob", "acme", "bob")
    assert stand.begun == ["eve 0", "bob"]


def test_who_waits_too_long_is_refused() -> None:
    slots = FairSlots(most=1, wait_seconds=0.05, most_waiting=3, busy="Too many.")
    with slots.taken(("acme",)), pytest.raises(AtCapacity), slots.taken(("globex",)):
        pass
    with slots.taken(("globex",)):
        assert not slots._waiting
