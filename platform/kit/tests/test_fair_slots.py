"""Expensive work is shared fairly: one payer's queue does not block others."""

import threading
from collections.abc import Iterator

import pytest

from gateway.tests.wait import wait_until
from kit.errors import AtCapacity
from kit.fair_slots import FairSlots


class Workload:
    """Work that ends when released; records the order of starts."""

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
        """Releases one, and expects this work to have started."""
        self.ends[name].set()
        wait_until(lambda: len(self.begun) >= len(expected))
        assert self.begun == expected


@pytest.fixture
def workload() -> Iterator[Workload]:
    workload = Workload()
    yield workload
    for end in workload.ends.values():
        end.set()
    for thread in workload.threads:
        thread.join(20)


def test_a_payer_with_much_work_gets_one_slot_and_others_go_next(workload: Workload) -> None:
    for number in range(4):
        workload.start(f"flood {number}", "globex", "eve")
    workload.start("bob", "acme", "bob")
    wait_until(lambda: len(workload.begun) == 2)
    assert workload.begun == ["flood 0", "bob"]
    workload.start("dana", "initech", "dana")
    workload.end("flood 0", ["flood 0", "bob", "dana"])  # though the flood has waited longer
    workload.end("bob", ["flood 0", "bob", "dana", "flood 1"])


def test_people_of_a_tenant_take_turns(workload: Workload) -> None:
    for number in range(3):
        workload.start(f"alice {number}", "acme", "alice")
    workload.start("bob", "acme", "bob")
    workload.end("alice 0", ["alice 0", "bob"])
    workload.end("bob", ["alice 0", "bob", "alice 1"])


def test_a_person_has_one_slot_whatever_the_other_payers(workload: Workload) -> None:
    workload.start("profile picture", "eve")
    workload.start("image in a chat", "globex", "eve")
    workload.start("image in another team", "initech", "eve")
    workload.start("bob", "globex", "bob")  # a profile picture takes no turn of the team
    wait_until(lambda: len(workload.begun) == 2)
    assert workload.begun == ["profile picture", "bob"]
    workload.end("profile picture", ["profile picture", "bob", "image in another team"])
    workload.start("profile picture of bob", "bob")
    workload.end("image in another team", ["profile picture", "bob", "image in another team"])
    workload.ends["bob"].set()
    wait_until(lambda: len(workload.begun) == 5)
    assert set(workload.begun[3:]) == {"profile picture of bob", "image in a chat"}


def test_a_full_queue_refuses_only_that_person(workload: Workload) -> None:
    for number in range(4):  # one runs, three wait
        workload.start(f"eve {number}", "globex", "eve")
    with pytest.raises(AtCapacity), workload.slots.taken(("globex", "eve")):
        pass
    workload.start("bob", "acme", "bob")
    assert workload.begun == ["eve 0", "bob"]


def test_waiting_too_long_is_refused() -> None:
    slots = FairSlots(most=1, wait_seconds=0.05, most_waiting=3, busy="Too many.")
    with slots.taken(("acme",)), pytest.raises(AtCapacity), slots.taken(("globex",)):
        pass
    with slots.taken(("globex",)):
        assert not slots._waiting
