"""Real MCP servers and a model that can use them, for tests of turns with tool calls."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import install_calculator, install_clever
from gateway.tests.wait import wait_until
from kit.tests.ports import free_port


@pytest.fixture(scope="session")
def served_mcp() -> Iterator[tuple[RealMCP, Served]]:
    real = RealMCP()
    with Served(real, lifespan="on") as server:
        yield real, server


@pytest.fixture
def calculator(
    served_mcp: tuple[RealMCP, Served],
    served_provider: ScriptedProvider,
    cast: Cast,
    settings: Any,
    server: Served,
) -> RealMCP:
    real, mcp = served_mcp
    real.reset()
    real.url = mcp.url
    provider_url = settings.LOCAL_MODEL_URL
    settings.OUTBOUND_ALLOWED = [url.removeprefix("http://") for url in (mcp.url, provider_url)]
    install_clever(cast.alice, provider_url)
    return real


@pytest.fixture
def installed(calculator: RealMCP, client_of: Any, cast: Cast) -> RealMCP:
    """The calculator, installed in Alice's workspace."""
    answer = install_calculator(client_of(cast.alice), calculator.url)
    assert answer.status_code == 201, answer.text
    return calculator


@pytest.fixture(scope="session")
def served_vault() -> Iterator[ProtectedMCP]:
    real = ProtectedMCP(port := free_port())
    with Served(real, lifespan="on", port=port):
        yield real


@pytest.fixture
def vault(served_vault: ProtectedMCP, cast: Cast, settings: Any, server: Served) -> ProtectedMCP:
    served_vault.reset()
    provider_url = settings.LOCAL_MODEL_URL
    settings.OUTBOUND_ALLOWED = [url.removeprefix("http://") for url in (served_vault.url, provider_url)]
    install_clever(cast.alice, provider_url)
    return served_vault


@pytest.fixture
def redis_url(tmp_path: Path, settings: Any) -> Iterator[str]:
    """The test's own Redis, on a unix socket."""
    socket = tmp_path / "redis.sock"
    command = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(socket.exists)
    settings.REDIS_URL = f"unix://{socket}"
    yield settings.REDIS_URL
    process.terminate()
    process.wait()
