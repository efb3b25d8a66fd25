"""The stands of the conformance suite as fixtures."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.egress import application as egress_application
from gateway.tests.conformance import stands
from gateway.tests.conformance.stands import Stand
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


@pytest.fixture(params=stands.NAMES)
def stand(request: pytest.FixtureRequest, settings: Any, server: Served) -> Iterator[Stand]:
    """The engine under test, with everything that it needs running."""
    if request.param == "direct":
        context = stands.direct(settings)
    elif request.param == "real":
        context = stands.real(settings)
    else:
        application, served = request.getfixturevalue("replay")
        context = stands.replayed(settings, application, served, request.getfixturevalue("egress"))
    with context as found:
        yield found


@pytest.fixture
def replayed(
    replay: tuple[ReplayedLibreChat, Served], egress: Served, settings: Any, server: Served
) -> Iterator[ReplayedLibreChat]:
    """The replayed LibreChat alone, for what a test does to it that none can do to a real one."""
    with stands.replayed(settings, *replay, egress):
        yield replay[0]
