"""Two LibreChats behind the nginx configuration of docs/librechat.md: conversations stay on one replica."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.tests.conformance import engines
from gateway.tests.conformance.test_losses import WHOLE, WORDS, free_port, shown
from gateway.tests.events import StreamEvent, read_events
from gateway.tests.needs import find_program, needs
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until

pytestmark = [pytest.mark.conformance, pytest.mark.slow, needs("nginx")]
DOCUMENTED = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "librechat.md"
TURNS = 16


@pytest.fixture
def replicas(egress: Served, settings: Any, server: Served) -> Iterator[tuple[ReplayedLibreChat, list[int]]]:
    """A replay at two ports, whose streams are complete only at the port where they were started."""
    application = ReplayedLibreChat()
    with Served(application, also_at=0) as served, engines.replayed(settings, application, served, egress):
        application.loses_beginnings = 5
        yield application, served.ports


@contextmanager
def nginx(folder: Path, ports: list[int], *, pinned: bool) -> Iterator[str]:
    """The documented configuration with the replicas' ports, without its `hash` if not pinned."""
    documented = DOCUMENTED.search(PAGE.read_text())
    assert documented, "docs/librechat.md has no nginx configuration"
    port, servers = free_port(), " ".join(f"server 127.0.0.1:{port};" for port in ports)
    text = (
        documented[1]
        .replace("server librechat:3080;", servers)
        .replace("listen 3080", f"listen 127.0.0.1:{port}")
    )
    text = text if pinned else re.sub(r"hash .*?;", "", text)
    paths = " ".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder / 'pid'}; error_log stderr;"
        f" events {{ worker_connections 256; }} http {{ access_log off; {paths} {text} }}"
    )
    program = find_program("nginx")
    assert program, "nginx is required"
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), 20)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("pinned", [True, False])
def test_replies_are_whole_and_pinned_ones_are_streamed_whole(  # noqa: PLR0917 - fixtures
    replicas: tuple[ReplayedLibreChat, list[int]],
    provider: ScriptedProvider,
    client_of: Any,
    cast: Cast,
    settings: Any,
    tmp_path: Path,
    pinned: bool,
) -> None:
    application, ports = replicas
    provider.script = Script(steps=list(WORDS))

    def turn(number: int) -> list[StreamEvent]:
        return read_events(client_of(cast.alice), f"count {number}")

    with nginx(tmp_path, ports, pinned=pinned) as url:
        settings.LIBRECHAT_URL = url
        with ThreadPoolExecutor(4) as pool:
            turns = list(pool.map(turn, range(TURNS)))
    assert {shown(events) for events in turns} == {WHOLE}
    replaced = sum(any(event.type == "replace" for event in events) for events in turns)
    assert replaced == 0 if pinned else replaced > 0
    starts = {call.replica for call in application.requests if call.path == "/api/agents/chat/Routed"}
    assert starts == set(ports)
