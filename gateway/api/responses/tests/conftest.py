"""OpenAI's package as Alice, and models whose providers send given bytes."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from accounts.tests.cast import Cast
from gateway.api.tests.raw_provider import RawProvider, install_raw
from gateway.tests.served import Served


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def served_raw() -> Iterator[tuple[RawProvider, Served]]:
    raw = RawProvider()
    with Served(raw) as served:
        yield raw, served


@pytest.fixture
def raw(served_raw: tuple[RawProvider, Served], server: Served, cast: Cast, settings: Any) -> RawProvider:
    """The models `gpt` and `claude`, whose providers send given bytes."""
    provider, served = served_raw
    settings.OUTBOUND_ALLOWED = [served.url.removeprefix("http://")]
    install_raw(cast.alice, served.url, kind="compatible", slug="gpt")
    install_raw(cast.alice, served.url, kind="anthropic", slug="claude")
    return provider
