"""Served egresses, an engine that calls them, and a workspace's own provider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from accounts.tests.cast import Cast
from gateway.calls.channels import CALL_REPEATED
from gateway.egress.tests.engine import SECRET, Engine, EngineTurn, begin_turn
from gateway.egress.tests.remote import UNREACHABLE, RemoteProvider
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until

APPLICATION = "config.egress:application"  # a name, since apps must not import config


@contextmanager
def serve_egress() -> Iterator[Served]:
    """An egress whose listener for notifications has started."""
    before = _listeners()
    with Served(APPLICATION, lifespan="on") as server:
        wait_until(lambda: bool(_listeners() - before))
        yield server


def _listeners() -> set[int]:
    """The backends of all listeners."""
    query = "SELECT pid FROM pg_stat_activity WHERE query = %s"
    with connection.cursor() as cursor:
        cursor.execute(query, [f'LISTEN "{CALL_REPEATED}"'])
        return {pid for (pid,) in cursor}


@pytest.fixture(scope="session")
def served_egress(django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    with django_db_blocker.unblock(), serve_egress() as server:
        yield server


@pytest.fixture
def engine(
    served_egress: Served, provider: ScriptedProvider, transactional_db: None, settings: Any
) -> Iterator[Engine]:
    """An engine with the right secret; the local model's provider is scripted."""
    settings.EGRESS_SECRETS = [SECRET]
    engine = Engine(served_egress.url)
    yield engine
    engine.client.close()


@pytest.fixture
def second_engine(engine: Engine) -> Iterator[Engine]:
    """The same engine at a second egress, which has its own event loop, calls and listener."""
    with serve_egress() as server:
        other = Engine(server.url)
        yield other
        other.client.close()


@pytest.fixture
def begin(cast: Cast, engine: Engine) -> Callable[..., EngineTurn]:
    """`begin(…)`: a running turn of Alice's."""
    return lambda **more: begin_turn(cast.alice, **more)


@pytest.fixture(scope="session")
def served_remote() -> Iterator[RemoteProvider]:
    provider = RemoteProvider()
    with Served(provider) as server:
        provider.url = server.url
        yield provider


@pytest.fixture
def remote(served_remote: RemoteProvider, settings: Any) -> Iterator[RemoteProvider]:
    """A provider at an allowed address; UNREACHABLE, where no server answers, is allowed too."""
    served_remote.reset()
    settings.OUTBOUND_ALLOWED = [url.removeprefix("http://") for url in (served_remote.url, UNREACHABLE)]
    yield served_remote
    served_remote.let_go()


@pytest.fixture(scope="session")
def served_replay() -> Iterator[tuple[ReplayedLibreChat, Served]]:
    application = ReplayedLibreChat()
    with Served(application) as server:
        yield application, server


@pytest.fixture
def replayed(
    served_replay: tuple[ReplayedLibreChat, Served], engine: Engine, settings: Any, server: Served
) -> ReplayedLibreChat:
    """A whole Switchyard whose engine is a replayed LibreChat."""
    replay, served = served_replay
    replay.egress_url, replay.secret = str(engine.client.base_url).rstrip("/"), SECRET
    replay.reset()
    settings.ENGINE, settings.LIBRECHAT_URL, settings.EGRESS_URL = "librechat", served.url, replay.egress_url
    return replay
