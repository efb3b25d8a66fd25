"""Fixtures for all tests: the cast, a running Switchyard, scripted providers, a browser."""

import asyncio
import faulthandler
import functools
import gc
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import TransactionTestCase

from accounts.tests.cast import Cast, create_cast
from config.asgi import application
from gateway.calls.learned_ratios import forget_ratios
from gateway.providers import resilience
from gateway.providers.breaker import forget_breakers
from gateway.tests import migrated_template, snapshot
from gateway.tests.chromium import Chromium
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns.runner import runner
from kit.tenancy import EXECUTOR

pytest_plugins = ["gateway.tests.fixtures"]
# Each HTTP client loads the certificate authorities, which takes longer than most requests: they share them.
ssl.create_default_context = functools.cache(ssl.create_default_context)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        migrated_template.use_if_present()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Creates the cast once; each test with real transactions restores this state afterwards."""
    django_settings.GRACE = 10  # below Served.STOP_SECONDS, for tests that leave a turn running
    django_settings.PROVIDER_READ_ON_SECONDS = 0  # ends cancelled calls immediately; some tests set it
    # Hashing slowly is not what is tested.
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with django_db_blocker.unblock():
        migrated_template.keep()
        _people.append(create_cast())
        snapshot.take()
    TransactionTestCase._fixture_teardown = lambda self: snapshot.restore()  # type: ignore[method-assign]


_people: list[Cast] = []
# The speed of generating examples depends on the machine, not on our code.
hypothesis.settings.register_profile(
    "switchyard", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None
)
hypothesis.settings.load_profile("switchyard")
EXIT_SECONDS = 60.0  # for threads to end after the last test


def pytest_collection_finish() -> None:
    """All that is loaded by now stays, so the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Dumps the threads and fails if one keeps the run from ending."""
    faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True)


@pytest.fixture(scope="session")
def cast(django_db_setup: None) -> Cast:
    return _people[0]


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    yield
    cache.clear()


@pytest.fixture(scope="session")
def served_provider() -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider()
    with Served(provider) as server:
        django_settings.LOCAL_MODEL_URL = django_settings.LOCAL_EMBEDDING_URL = server.url
        yield provider


@pytest.fixture
def provider(
    served_provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedProvider]:
    """The scripted provider behind the local model, with an empty script; repeated calls hardly wait."""
    monkeypatch.setattr(resilience, "FIRST_WAIT_SECONDS", 0.02)
    served_provider.reset()
    forget_breakers()
    forget_ratios()
    yield served_provider
    served_provider.let_go()


@pytest.fixture(scope="session")
def served(django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    with django_db_blocker.unblock(), Served(application, lifespan="on") as server:
        yield server


@pytest.fixture
def server(served: Served, provider: ScriptedProvider, transactional_db: None) -> Iterator[Served]:
    """Switchyard on a real socket, with the scripted provider; no turn outlives its test."""
    yield served
    served.run(_end_turns())
    wait_until(lambda: EXECUTOR.is_idle)  # for a turn's last writes, such as the end of a tool call


async def _end_turns() -> None:
    async with asyncio.timeout(10):
        while turns := list(runner().turns.values()):
            for turn in turns:
                turn.stop("cancelled")
            await asyncio.sleep(0.01)


@pytest.fixture
def client_of(server: Served) -> Iterator[Any]:
    """`client_of(person)`: an HTTP client with that person's token; `client_of(None)`: without one."""
    clients: list[httpx.Client] = []

    def make(person: Any) -> httpx.Client:
        headers = person.headers if person else {}
        # Loading certificate authorities takes longer than most requests, none of which uses TLS.
        client = httpx.Client(base_url=server.url, headers=headers, timeout=30, verify=False)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def at_once(server: Served) -> Any:
    """`at_once(person, requests)`: sends the requests concurrently, returns the responses in order."""

    async def send_all(person: Any, requests: list[httpx.Request]) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits, verify=False) as client:
            return await asyncio.gather(*(client.send(_aimed(client, person, r)) for r in requests))

    return lambda person, requests: asyncio.run(send_all(person, requests))


def _aimed(client: httpx.AsyncClient, person: Any, request: httpx.Request) -> httpx.Request:
    headers = {**dict(request.headers), **person.headers}
    headers.pop("host", None)
    return client.build_request(request.method, request.url.path, content=request.content, headers=headers)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """For tests marked `needs("chromium")`."""
    chromium = Chromium()
    yield chromium
    chromium.close()
