"""Teams share the slots for running turns; a refusal says which limit is reached and when to retry."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import connect

from accounts.tests.cast import Cast, Person
from gateway.egress.tests.remote import install
from gateway.providers.breaker import FAILURES
from gateway.tests.events import body, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns.runner import TurnRunner
from kit import outbound
from kit.errors import AtCapacity
from kit.name_lookups import Lookups
from kit.tenancy import TenantRef
from quotas.models import BudgetWindow, UsageRecord


def team(name: str) -> TenantRef:
    return TenantRef(id=uuid4(), slug=name, schema_name=name)


class Stand:
    """A process's runner, whose slots stay taken for the test."""

    def __init__(self) -> None:
        self.runner, self.held = TurnRunner(), ExitStack()

    def admits(self, tenant: TenantRef, wanted: int) -> tuple[int, str]:
        """The number of slots that the team gets, and the scope of the refusal after them."""
        for count in range(wanted):
            try:
                self.held.enter_context(self.runner.slot(tenant))
            except AtCapacity as refusal:
                return count, refusal.details["scope"]
        return wanted, ""


@pytest.mark.parametrize(("slots", "alone"), [(384, 288), (100, 75), (8, 6), (1, 1)])
async def test_a_team_alone_gets_three_quarters_of_the_slots(settings: Any, slots: int, alone: int) -> None:
    settings.MAX_RUNNING_TURNS = slots
    got, full = Stand().admits(team("acme"), slots + 1)
    assert (got, full) == (alone, "server" if slots == 1 else "team")


async def test_while_one_team_has_all_it_can_get_another_gets_its_turns(settings: Any) -> None:
    settings.MAX_RUNNING_TURNS = 384
    stand = Stand()
    assert stand.admits(team("acme"), 400) == (288, "team")
    assert stand.admits(team("globex"), 400) == (72, "team")
    assert stand.admits(team("initech"), 10) == (10, "")


async def test_the_last_slot_is_refused_to_all(settings: Any) -> None:
    settings.MAX_RUNNING_TURNS = 2
    stand = Stand()
    assert stand.admits(team("acme"), 1) == (1, "")
    assert stand.admits(team("globex"), 1) == (1, "")
    assert stand.admits(team("initech"), 1) == (0, "server")


async def test_a_slot_that_is_given_back_is_free_again(settings: Any) -> None:
    settings.MAX_RUNNING_TURNS = 4
    stand, acme = Stand(), team("acme")
    for _ in range(3):
        assert stand.admits(acme, 9) == (3, "team")
        stand.held.close()


@pytest.fixture
def busy_acme(provider: ScriptedProvider, client_of: Any, cast: Cast, settings: Any) -> Iterator[None]:
    """Alice's team runs all three turns of the four that it may."""
    settings.MAX_RUNNING_TURNS = 4
    gate = threading.Event()
    provider.scripts = [Script(steps=["x", gate]) for _ in range(3)]
    client = client_of(cast.alice)
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(send, client, "hi") for _ in range(3)]
        wait_until(lambda: len(provider.requests) == 3)
        yield
        gate.set()
        assert [answer.result().status_code for answer in held] == [200] * 3


def test_a_refusal_names_the_full_share_and_when_to_retry(
    busy_acme: None, client_of: Any, cast: Cast
) -> None:
    refused = send(client_of(cast.bob), "hi")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["details"]["scope"]) == (503, "at_capacity", "team")
    assert "share" in error["message"]
    assert refused.headers["retry-after"] == str(error["details"]["retry_after"])
    assert send(client_of(cast.charlie), "hi").status_code == 200


def test_a_completion_is_refused_in_openais_format(busy_acme: None, client_of: Any, cast: Cast) -> None:
    payload = {"model": "local", "messages": [{"role": "user", "content": "hi"}]}
    refused = client_of(cast.alice).post("/v1/chat/completions", json=payload)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["error"]["type"] == "api_error"
    assert client_of(cast.charlie).post("/v1/chat/completions", json=payload).status_code == 200


def test_a_socket_gets_the_refusal_too(busy_acme: None, server: Served, cast: Cast) -> None:
    assert refusal_on_socket(server, cast.alice)["details"] == {"scope": "team", "retry_after": 5}


def refusal_on_socket(server: Served, person: Person) -> dict[str, Any]:
    url = server.url.replace("http", "ws") + "/ws/chat"
    with connect(url, subprotocols=["bearer", person.token]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "send", **body("hi")}))
        received: dict[str, Any] = json.loads(socket.recv(timeout=10))
        return dict(received["error"])


def test_a_turn_refused_by_our_own_limit_costs_nothing_and_blames_no_provider(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = settings.LOCAL_MODEL_URL.replace("http://127.0.0.1", "model.test")
    settings.OUTBOUND_ALLOWED = [host]
    install(cast.alice, f"http://{host}")
    client = client_of(cast.alice)
    monkeypatch.setattr(outbound, "_lookups", Lookups(lambda host: ["127.0.0.1"], per_domain=0))
    for _ in range(FAILURES + 1):  # more than open a breaker
        refused = send(client, "hi", model="gpt")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "at_capacity")
        assert refused.headers["retry-after"] == "5"
    assert (provider.requests, UsageRecord.objects.count()) == ([], 0)
    assert BudgetWindow.objects.get().reserved == 0
    monkeypatch.setattr(outbound, "_lookups", Lookups(lambda host: ["127.0.0.1"]))
    assert send(client, "hi", model="gpt").json()["reply"] == "Hello there."


def test_a_full_server_refuses_with_at_capacity(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.MAX_RUNNING_TURNS = 0
    refused: httpx.Response = send(client_of(cast.alice), "hi")
    assert refused.status_code == 503
    assert refused.json()["error"]["details"] == {"scope": "server", "retry_after": 5}
    assert refused.headers["retry-after"] == "5"
