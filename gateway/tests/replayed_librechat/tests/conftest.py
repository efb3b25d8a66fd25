"""A served replay with a scripted egress behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient
from gateway.tests.replayed_librechat.tests.scripted_egress import ScriptedEgress
from gateway.tests.served import Served

SignIn = Callable[[str], Awaitable[EngineClient]]


@pytest.fixture(scope="package")
def served_egress() -> Iterator[tuple[ScriptedEgress, str]]:
    egress = ScriptedEgress()
    with Served(egress) as server:
        yield egress, server.url


@pytest.fixture(scope="package")
def served_librechat(served_egress: tuple[ScriptedEgress, str]) -> Iterator[tuple[ReplayedLibreChat, str]]:
    librechat = ReplayedLibreChat(egress_url=served_egress[1], secret="egress-secret")
    with Served(librechat) as server:
        yield librechat, server.url


@pytest.fixture
def egress(served_egress: tuple[ScriptedEgress, str]) -> ScriptedEgress:
    egress, _ = served_egress
    egress.reset()
    return egress


@pytest.fixture
def librechat(
    served_librechat: tuple[ReplayedLibreChat, str],
    served_egress: tuple[ScriptedEgress, str],
    egress: ScriptedEgress,
) -> Iterator[ReplayedLibreChat]:
    librechat, _ = served_librechat
    librechat.egress_url = served_egress[1]
    librechat.store_delay = 0.01
    librechat.start_delay = 0.03
    yield librechat
    librechat.reset()


@pytest.fixture
async def sign_in(
    librechat: ReplayedLibreChat, served_librechat: tuple[ReplayedLibreChat, str]
) -> AsyncIterator[SignIn]:
    clients: list[EngineClient] = []

    async def make(name: str) -> EngineClient:
        clients.append(EngineClient(served_librechat[1]))
        return await clients[-1].sign_in(name)

    yield make
    for client in clients:
        await client.http.aclose()


@pytest.fixture
async def alice(sign_in: SignIn) -> EngineClient:
    return await sign_in("Alice")
