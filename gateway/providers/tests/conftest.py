"""A scripted server that the outbound guard allows."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.providers.base import ModelEvent, ModelRequest, Provider
from gateway.providers.breaker import forget_breakers
from gateway.providers.tests.scripted_http import ScriptedServer


@pytest.fixture
async def upstream(settings: Any) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{server.port}"]
        yield server


@pytest.fixture(autouse=True)
def closed_breakers() -> Iterator[None]:
    forget_breakers()
    yield
    forget_breakers()


@pytest.fixture
def events_of() -> Any:
    """`await events_of(provider, …)`: the events of one small request."""

    async def ask(provider: Provider, **more: Any) -> list[ModelEvent]:
        wanted: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20, **more}
        return [event async for event in provider.stream(ModelRequest(model="m", **wanted))]

    return ask
