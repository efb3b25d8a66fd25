"""Names that are slow to resolve only delay their own domain."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from kit import name_lookups
from kit.errors import AtCapacity
from kit.name_lookups import Lookups, domain_of

FOUND = ["192.0.2.1"]


class Resolver:
    """Answers immediately, except for names containing `slow`, which wait for the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if "slow" in host:
            self.go_on.wait(20)
        if "missing" in host:
            raise OSError("no such name")
        return FOUND


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    resolver = Resolver()
    yield resolver
    resolver.go_on.set()


async def begin(found: Lookups, resolver: Resolver, hosts: list[str]) -> list[asyncio.Task[list[str]]]:
    """Waits until this many lookups are running."""
    tasks = [asyncio.create_task(found.find(host)) for host in hosts]
    while not set(hosts) <= set(resolver.asked):
        await asyncio.sleep(0.01)
    return tasks


async def test_a_domain_gets_only_its_share_of_the_threads(resolver: Resolver) -> None:
    found = Lookups(resolver, most=16, per_domain=4)
    tasks = await begin(found, resolver, [f"{at}.slow.example" for at in range(4)])
    with pytest.raises(AtCapacity) as refusal:
        await found.find("5.slow.example")
    assert refusal.value.details["retry_after"] > 0
    assert await found.find("api.model.test") == FOUND
    resolver.go_on.set()
    assert await asyncio.gather(*tasks) == [FOUND] * 4
    assert await found.find("5.slow.example") == FOUND


async def test_a_quick_name_gets_a_thread_while_many_domains_are_slow(
    resolver: Resolver,
) -> None:
    found = Lookups(resolver, most=16, per_domain=4)
    assert await found.find("api.model.test") == FOUND
    await begin(found, resolver, [f"www.slow{at}.test" for at in range(7)])
    assert await found.find("new.test") == FOUND
    await begin(found, resolver, ["www.slow7.test"])
    with pytest.raises(AtCapacity):
        await found.find("another.slow.test")
    assert await found.find("api.model.test") == FOUND


async def test_a_lookup_without_waiting_callers_still_counts(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookups, "LOOKUP_SECONDS", 0.05)
    found = Lookups(resolver, most=16, per_domain=4)
    for at in range(4):
        with pytest.raises(OSError, match="not found in time"):
            await found.find(f"{at}.slow.example")
    with pytest.raises(AtCapacity):
        await found.find("5.slow.example")


async def test_concurrent_lookups_of_a_name_share_one(resolver: Resolver) -> None:
    found = Lookups(resolver, most=8)
    first = await begin(found, resolver, ["slow.model.test"])
    others = [asyncio.create_task(found.find(host)) for host in ["SLOW.model.test"] * 50]
    await asyncio.sleep(0)
    first[0].cancel()  # one who leaves takes nothing away from the others
    resolver.go_on.set()
    assert await asyncio.gather(*others) == [FOUND] * 50
    assert resolver.asked == ["slow.model.test"]


async def test_a_name_that_takes_too_long_is_given_up(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookups, "LOOKUP_SECONDS", 0.05)
    with pytest.raises(OSError, match="not found in time"):
        await Lookups(resolver).find("slow.model.test")


async def test_a_name_that_was_not_found_is_looked_up_again(resolver: Resolver) -> None:
    found = Lookups(resolver)
    for _ in range(2):
        with pytest.raises(OSError, match="no such name"):
            await found.find("missing.test")
    assert resolver.asked == ["missing.test"] * 2


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("example.com.", "example.com"),
        ("a.example.com.", "example.com"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_is_the_last_two_labels(host: str, domain: str) -> None:
    assert domain_of(host) == domain
