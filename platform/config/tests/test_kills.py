"""kill -9 of each process of `make run` during turns: it recovers by itself, every turn is exact."""

from collections.abc import Iterator

import psutil
import pytest

from config.tests.turns_under_fire import (
    WHOLE,
    Ledger,
    RunUnderFire,
    expect_exact,
    half_way,
    runs_a_turn,
)
from devserver.tests.test_up import PROCESSES, wait_for
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served

pytestmark = [pytest.mark.slow, pytest.mark.alone]
TURNS = 6
RECOVERY_SECONDS = 40.0


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[ScriptedProvider, str]]:
    provider = ScriptedProvider()
    with Served(provider) as server:
        yield provider, server.url
        provider.let_go()


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, scripted: tuple[ScriptedProvider, str]
) -> Iterator[RunUnderFire]:
    """One installation per module: each kill finds the state that the previous one left."""
    RunUnderFire.provider_url = scripted[1]
    run = RunUnderFire(tmp_path_factory.mktemp("fire") / "data")
    try:
        run.wait_until_ready()
        run.sign_up()
        run.install_scripted_model()
        yield run
    finally:
        run.clean_up()


@pytest.fixture
def provider(scripted: tuple[ScriptedProvider, str]) -> ScriptedProvider:
    scripted[0].reset()
    return scripted[0]


def process_of(run: RunUnderFire, name: str) -> psutil.Process:
    if name == "database":
        return psutil.Process(int(run.postmaster_pid_file.read_text().split()[0]))
    words = set(PROCESSES[name])
    (found,) = [child for child in run.children() if words <= set(child.cmdline())]
    return found


@pytest.mark.parametrize("name", ["worker", "model", "web", "database"])
def test_after_a_kill_it_recovers_and_every_turn_is_exact(
    run: RunUnderFire, provider: ScriptedProvider, name: str
) -> None:
    turns, _, gate = half_way(run, provider, TURNS)
    dead = process_of(run, name)
    dead.kill()
    gate.set()
    for turn in turns:
        turn.wait_for_end(60)
        assert WHOLE.startswith(turn.text)
    wait_for(run.is_ready, RECOVERY_SECONDS, run)
    expect_exact(run)
    if name in {"worker", "model"}:  # no part of a turn at another provider
        assert [turn.text for turn in turns] == [WHOLE] * TURNS
    wait_for(lambda: runs_a_turn(run, provider), RECOVERY_SECONDS, run)
    if name == "model":
        wait_for(run.replies, RECOVERY_SECONDS, run)
    assert process_of(run, name).pid != dead.pid
    expect_exact(run)


def test_cut_connections_and_a_kill_leave_no_reservations_and_no_uncharged_calls(
    run: RunUnderFire, provider: ScriptedProvider
) -> None:
    before = set(Ledger(run).charges())
    stay, cut, gate = half_way(run, provider, 2, completions=3)
    for turn in (*cut, stay[0]):
        turn.cut()
    more, _, _ = half_way(run, provider, 1)
    more[0].cut()
    process_of(run, "web").kill()
    gate.set()
    stay[1].wait_for_end(60)
    wait_for(run.is_ready, RECOVERY_SECONDS, run)
    expect_exact(run)
    charges = Ledger(run).charges()
    assert len(set(charges) - before) == 6
    assert all(charges.values())
