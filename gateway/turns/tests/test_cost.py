"""What a member can make the server do costs little, and other people hardly notice it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest

from accounts.tests.cast import Cast, Person
from gateway.api.tests.test_pages import Browser
from gateway.tests.events import read_events, send
from gateway.tests.pictures import picture, progressive
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import MODEL, asks_for, say
from kit import highlighter
from kit.tenancy import tenant_scope
from kit.tests.cpu_time import allowed, cpu_with_children
from workspaces.language_models.models import LanguageModel
from workspaces.mcp_servers.models import Tool

pytestmark = [pytest.mark.slow, pytest.mark.alone]

# Generous, since the machine has other things to do: what is caught is a cost that grows without bound.
MEDIAN_SECONDS, LONGEST_SECONDS = 4.0, 20.0


@dataclass
class Cost:
    """CPU seconds of this process, which serves, and of its children; and how others were served."""

    cpu: float = 0.0
    memory: int = 0  # bytes that the process has grown by
    statuses: set[int] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)

    def expect(self, *, cpu: float, memory: int = 150_000_000) -> None:
        assert self.cpu < allowed(cpu, self.cpu), self.cpu
        assert self.memory < memory, self.memory
        assert self.statuses == {200}
        waits = sorted(self.waits)
        assert waits[len(waits) // 2] < MEDIAN_SECONDS, waits
        assert waits[-1] < LONGEST_SECONDS, waits


@contextmanager
def measured(server: Served, other: Person) -> Iterator[Cost]:
    cost, stop = Cost(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, headers=other.headers, timeout=60) as client:
            while not stop.is_set():
                for path in ("/v1/tenant", "/readyz"):
                    begun = time.monotonic()
                    cost.statuses.add(client.get(path).status_code)
                    cost.waits.append(time.monotonic() - begun)
                stop.wait(0.1)

    before, size = _cpu(), psutil.Process().memory_info().rss
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield cost
    finally:
        stop.set()
        thread.join(60)
        cost.cpu, cost.memory = _cpu() - before, psutil.Process().memory_info().rss - size


def give_room(person: Person) -> None:
    """The workspace's models may write long replies: these are cut off far beyond their bound."""
    with tenant_scope(person.principal.tenant):
        LanguageModel.objects.filter(kind="chat").update(output_bound=4_096, context_window=100_000)


def _cpu() -> float:
    highlighter._child.end()  # its time is known once it has ended
    return cpu_with_children()


def test_a_hostile_rule_that_was_saved_before_refuses_calls_in_no_time(
    installed: RealMCP, provider: ScriptedProvider, client_of: Any, server: Served, cast: Cast
) -> None:
    give_room(cast.alice)
    rule: Any = {"type": "integer"}
    for _ in range(9):
        rule = {"anyOf": [rule, rule]}
    with tenant_scope(cast.alice.principal.tenant):
        row = Tool.objects.get(name="add")
        row.argument_schema = {"properties": {"a": {"type": "array", "items": rule}}}
        row.save()
    say(provider, asks_for(*[("add_mcp_calculator", {"a": ["x"] * 300})] * 8))
    with measured(server, cast.charlie) as cost:
        events = read_events(client_of(cast.bob), "add", model=MODEL, mcps=["calculator"])
    results = [event.data for event in events if event.type == "tool_result"]
    assert len(results) == 8
    assert all(received["is_error"] and "simplify" in received["output"] for received in results)
    assert installed.calls == []
    cost.expect(cpu=10)


def test_a_reply_of_hostile_code_is_coloured_within_its_budget_and_once(
    provider: ScriptedProvider, client_of: Any, server: Served, cast: Cast
) -> None:
    give_room(cast.alice)
    provider.script = Script(
        steps=["Look:\n\n", "```java\n", *["\n" * 1_000] * 19, "x\n```", "\n\nThat is it."]
    )
    received = send(client_of(cast.bob), "java").json()
    page = f"/t/acme/w/sales/chat/{received['conversation_id']}"
    browser = Browser(server.url).sign_in("bob")
    with measured(server, cast.charlie) as cost:
        first = browser.get(page)
    assert "That is it." in first.text
    cost.expect(cpu=6)
    with measured(server, cast.charlie) as cost, ThreadPoolExecutor(10) as together:
        again = list(together.map(browser.get, [page] * 20))
    assert {answer.status_code for answer in again} == {200}
    cost.expect(cpu=15)  # 11 seconds each before


def test_a_stream_of_hostile_code_is_drawn_for_little(
    provider: ScriptedProvider, server: Served, cast: Cast
) -> None:
    give_room(cast.alice)
    provider.script = Script(steps=["```java\n", *["\n" * 100] * 190, "x\n```", "\n\nThat is it."])
    browser = Browser(server.url).sign_in("bob")
    browser.get("/t/acme/w/sales/chat/")
    headers = {"X-CSRFToken": browser.client.cookies["csrftoken"]}
    payload = {"message": "x", "model": "local", "mcps": []}
    with measured(server, cast.charlie) as cost:
        received = browser.client.post("/t/acme/w/sales/chat/send", json=payload, headers=headers)
        stream = browser.get(received.json()["events_url"])
    assert "That is it." in stream.text
    cost.expect(cpu=8)


def test_concurrent_hostile_profile_pictures_delay_no_one(server: Served, cast: Cast) -> None:
    browser = Browser(server.url).sign_in("bob")
    hostile = progressive(7_000, 300)
    token = browser.client.get("/accounts/profile/") and browser.client.cookies["csrftoken"]

    def upload(_: int) -> int:
        return browser.client.post(
            "/accounts/profile/",
            data={"name": "Bob", "csrfmiddlewaretoken": token},
            files={"picture": ("a.jpg", hostile, "image/jpeg")},
        ).status_code

    with measured(server, cast.charlie) as cost, ThreadPoolExecutor(26) as together:
        statuses = list(together.map(upload, range(26)))
    assert set(statuses) <= {200, 429}
    cost.expect(cpu=30)


def test_heavy_pictures_of_one_tenant_leave_another_tenants_its_turn(
    client_of: Any, server: Served, cast: Cast
) -> None:
    heavy, light = progressive(7_000, 64), picture()
    with ThreadPoolExecutor(8) as together:
        floods = [
            together.submit(client_of(person).post, "/v1/images", content=heavy)
            for person in (cast.alice, cast.bob, cast.alice, cast.bob)
        ]
        begun = time.monotonic()
        answer = client_of(cast.charlie).post("/v1/images", content=light)
        waited = time.monotonic() - begun
        statuses = {flood.result().status_code for flood in floods}
    assert answer.status_code == 201
    assert waited < LONGEST_SECONDS
    assert statuses <= {201, 422, 503}


def test_pictures_of_several_megabytes_are_taken(client_of: Any, server: Served, cast: Cast) -> None:
    photo = picture("PNG", (20, 20)) + b"\0" * 9_500_000
    assert client_of(cast.bob).post("/v1/images", content=photo).status_code == 201
    too_much = client_of(cast.bob).post("/v1/images", content=photo + b"\0" * 600_000)
    assert too_much.status_code == 413
    browser = Browser(server.url).sign_in("bob")
    browser.client.get("/accounts/profile/")
    answer = browser.client.post(
        "/accounts/profile/",
        data={"name": "Bob", "csrfmiddlewaretoken": browser.client.cookies["csrftoken"]},
        files={"picture": ("a.png", photo, "image/png")},
    )
    assert answer.status_code == 302
