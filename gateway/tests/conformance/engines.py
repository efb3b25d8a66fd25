"""The engines under test: our own, a replayed LibreChat, and a real one if LIBRECHAT_URL is set."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from config.egress import application as egress_application
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.served import Served

SECRET = "a secret between the engine and the egress of the tests"
REAL_URL = os.environ.get("LIBRECHAT_URL", "")
NAMES = ["direct", "replayed", *(["real"] if REAL_URL else [])]


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine under test; tests can break its `replay`."""

    name: str
    engine: str
    outlives_us: bool
    replay: ReplayedLibreChat | None = None
    environment: dict[str, str] = field(default_factory=dict)  # for a separate process


@contextmanager
def direct(settings: Any) -> Iterator[EngineUnderTest]:
    settings.ENGINE = "direct"
    yield EngineUnderTest("direct", "direct", outlives_us=False, environment={"ENGINE": "direct"})


@contextmanager
def replayed(
    settings: Any, replay: ReplayedLibreChat, served_replay: Served, egress: Served
) -> Iterator[EngineUnderTest]:
    """The replay calls the served egress, as a real LibreChat does by its configuration."""
    replay.egress_url, replay.secret = egress.url, SECRET
    replay.reset()
    settings.EGRESS_URL = egress.url
    with librechat_at(served_replay.url, SECRET, settings) as environment:
        yield EngineUnderTest(
            "replayed", "librechat", outlives_us=True, replay=replay, environment=environment
        )


@contextmanager
def real(settings: Any) -> Iterator[EngineUnderTest]:
    """The LibreChat at LIBRECHAT_URL, configured with this machine's EGRESS_URL and its secret."""
    port = int(os.environ["EGRESS_URL"].rsplit(":", 1)[1])
    with (
        Served(egress_application, lifespan="on", port=port),
        librechat_at(REAL_URL, os.environ["EGRESS_SECRETS"].split(",")[0], settings) as environment,
    ):
        yield EngineUnderTest("real", "librechat", outlives_us=True, environment=environment)


@contextmanager
def librechat_at(url: str, secret: str, settings: Any) -> Iterator[dict[str, str]]:
    settings.ENGINE, settings.LIBRECHAT_URL, settings.EGRESS_SECRETS = "librechat", url, [secret]
    yield {
        "ENGINE": "librechat",
        "LIBRECHAT_URL": url,
        "EGRESS_URL": settings.EGRESS_URL,
        "EGRESS_SECRETS": secret,
    }
