"""The replayed LibreChat without a served Switchyard, and the engine's clients for it."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.engines.librechat.accounts import Accounts
from gateway.engines.librechat.client import LibreChatClient
from gateway.tests.conformance.conftest import replay
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.tests.scripted_egress import ScriptedEgress
from gateway.tests.served import Served

__all__ = ["replay"]


@pytest.fixture(scope="session")
def served_models() -> Iterator[tuple[ScriptedEgress, Served]]:
    """Answers the model calls, as scripted."""
    egress = ScriptedEgress()
    with Served(egress) as server:
        yield egress, server


@pytest.fixture
def models(served_models: tuple[ScriptedEgress, Served]) -> ScriptedEgress:
    served_models[0].reset()
    return served_models[0]


@pytest.fixture
def librechat(
    replay: tuple[ReplayedLibreChat, Served],
    served_models: tuple[ScriptedEgress, Served],
    models: ScriptedEgress,
    settings: Any,
) -> Iterator[ReplayedLibreChat]:
    """An empty one."""
    application, server = replay
    settings.LIBRECHAT_URL = server.url
    application.egress_url, application.secret = served_models[1].url, "a secret"
    application.reset()
    yield application
    application.reset()


@pytest.fixture
def accounts(librechat: ReplayedLibreChat, settings: Any) -> Accounts:
    return Accounts(LibreChatClient(settings.LIBRECHAT_URL))
