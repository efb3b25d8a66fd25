"""`make run` with ENGINE=librechat also runs the egress, where LibreChat reaches it."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.tests.turns_under_fire import WHOLE, RunUnderFire, expect_exact, half_way, runs_a_turn
from devserver.tests.test_up import ROOT, Run, free_port, wait_for
from gateway.tests.events import STREAM, StreamEvent, body, parse, text_of
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served

pytestmark = pytest.mark.slow

DEVELOPMENT_SECRET = "development-only-secret"
SIGN_UP = {
    "email": "erin@example.com",
    "password": "a long enough passphrase",
    "name": "Erin",
    "tenant_name": "Initech",
    "workspace_name": "Lab",
}


@pytest.fixture
def egress_port(monkeypatch: pytest.MonkeyPatch) -> int:
    port = free_port()
    monkeypatch.setenv("EGRESS_URL", f"http://127.0.0.1:{port}")
    return port


@pytest.fixture
def librechat(monkeypatch: pytest.MonkeyPatch, egress_port: int) -> Iterator[ReplayedLibreChat]:
    replay = ReplayedLibreChat(f"http://127.0.0.1:{egress_port}", DEVELOPMENT_SECRET)
    monkeypatch.delenv("EGRESS_SECRETS", raising=False)
    monkeypatch.setenv("ENGINE", "librechat")
    with Served(replay) as server:
        monkeypatch.setenv("LIBRECHAT_URL", server.url)
        yield replay


@pytest.fixture
def run(tmp_path: Path, librechat: ReplayedLibreChat) -> Iterator[Run]:
    run = Run(tmp_path / "data")
    yield run
    run.clean_up()


def sign_up(client: httpx.Client) -> None:
    answer = client.post("/v1/auth/signup", json=SIGN_UP)
    assert answer.status_code == 201, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access']}"


def reply_to(client: httpx.Client, message: str) -> list[StreamEvent]:
    request = body(message, max_tokens=24)
    with client.stream("POST", "/v1/chat/send", json=request, headers=STREAM) as answer:
        return list(parse(answer.iter_lines()))


def engine_check(run: Run) -> subprocess.CompletedProcess[str]:
    """Runs the check in a separate process, with the environment of the running egress."""
    environment = run.child("kit.serve", "config.egress:application").environ()
    command = [sys.executable, "manage.py", "engine_check"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_reply_streams_through_librechat_and_everything_stops(
    run: Run, librechat: ReplayedLibreChat, egress_port: int
) -> None:
    run.wait_until_ready()
    assert re.search(r"^Egress.*\d\.\d s$", run.output, re.MULTILINE)
    assert not is_closed(egress_port)
    address = f"http://127.0.0.1:{run.port}"
    with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
        sign_up(client)
        events = reply_to(client, "Say hello.")
    assert [event.type for event in events][-2:] == ["usage", "done"]
    assert text_of(events).strip()
    assert events[-2].data["exactness"] == "exact"
    assert (librechat.counters["starts"], librechat.counters["model_calls"]) == (1, 1)
    assert engine_check(run).stdout.splitlines()[-1].startswith("ok       tools")
    run.send(signal.SIGTERM)
    assert run.exit_code() == 0
    run.expect_nothing_left()
    assert is_closed(egress_port)


def test_a_killed_egress_is_restarted(run: Run, egress_port: int) -> None:
    run.wait_until_ready()
    run.child("kit.serve", "config.egress:application").kill()
    wait_for(lambda: "The egress process ended (killed by signal 9)" in run.output, 10, run)
    wait_for(lambda: not is_closed(egress_port), 30, run)
    run.send(signal.SIGTERM)
    assert run.exit_code() == 0
    run.expect_nothing_left()
    assert is_closed(egress_port)


def test_an_egress_port_in_use_is_reported_in_one_line(
    tmp_path: Path, librechat: ReplayedLibreChat, egress_port: int
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", egress_port))
        taken.listen()
        run = Run(tmp_path / "data")
        assert run.exit_code() == 1
    assert len(run.output.splitlines()) == 1
    assert "EGRESS_URL" in run.output
    run.clean_up()


def test_the_direct_engine_starts_no_egress(
    tmp_path: Path, egress_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENGINE", raising=False)
    run = Run(tmp_path / "data")
    try:
        run.wait_until_ready()
        assert is_closed(egress_port)
        assert "Egress" not in run.output
    finally:
        run.clean_up()
        wait_for(lambda: is_closed(run.port), 10, run)


@pytest.fixture
def under_fire(
    tmp_path: Path, librechat: ReplayedLibreChat
) -> Iterator[tuple[RunUnderFire, ScriptedProvider]]:
    provider = ScriptedProvider()
    with Served(provider) as server:
        RunUnderFire.provider_url = server.url
        run = RunUnderFire(tmp_path / "data")
        try:
            run.wait_until_ready()
            run.sign_up()
            run.install_scripted_model()
            yield run, provider
        finally:
            run.clean_up()
            provider.let_go()


def test_a_kill_of_the_egress_leaves_every_turn_exact(
    under_fire: tuple[RunUnderFire, ScriptedProvider], egress_port: int
) -> None:
    run, provider = under_fire
    turns, _, gate = half_way(run, provider, 3)
    run.child("kit.serve", "config.egress:application").kill()
    gate.set()
    for turn in turns:
        turn.wait_for_end(60)
        assert WHOLE.startswith(turn.text)
    wait_for(lambda: not is_closed(egress_port), 30, run)
    expect_exact(run)
    wait_for(lambda: runs_a_turn(run, provider), 30, run)
    expect_exact(run)
