"""The engines under test as fixtures."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.egress import application as egress_application
from gateway.tests.conformance import engines
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.served import Served


@pytest.fixture(scope="session")
def egress(django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    with django_db_blocker.unblock(), Served(egress_application, lifespan="on") as server:
        yield server


@pytest.fixture(scope="session")
def replay() -> Iterator[tuple[ReplayedLibreChat, Served]]:
    application = ReplayedLibreChat()
    with Served(application) as server:
        yield application, server


@pytest.fixture(params=engines.NAMES)
def tested(request: pytest.FixtureRequest, settings: Any, server: Served) -> Iterator[EngineUnderTest]:
    """The engine under test, with everything that it needs."""
    if request.param == "direct":
        context = engines.direct(settings)
    elif request.param == "real":
        context = engines.real(settings)
    else:
        application, served = request.getfixturevalue("replay")
        context = engines.replayed(settings, application, served, request.getfixturevalue("egress"))
    with context as found:
        yield found


@pytest.fixture
def replayed(
    replay: tuple[ReplayedLibreChat, Served], egress: Served, settings: Any, server: Served
) -> Iterator[ReplayedLibreChat]:
    """Only the replayed LibreChat, for tests that cannot be run on a real one."""
    with engines.replayed(settings, *replay, egress):
        yield replay[0]
