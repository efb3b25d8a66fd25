"""The embedded PostgreSQL starts once, survives a kill -9, and stops cleanly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from devserver import embedded_postgres


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a clone & its data" / "postgres"
    yield path
    embedded_postgres.stop(path)


def postmaster_pid(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


def answer(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT 42").fetchone()
    return row[0] if row else 0


def test_it_starts_in_a_folder_with_shell_characters_in_its_name(folder: Path) -> None:
    assert answer(embedded_postgres.start(folder)) == 42


@pytest.mark.slow
def test_it_starts_where_the_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30) / "postgres"
    try:
        assert answer(embedded_postgres.start(deep)) == 42
    finally:
        embedded_postgres.stop(deep)


@pytest.mark.slow
def test_a_second_start_quickly_attaches_to_the_same_server(folder: Path) -> None:
    first, url = timed_start(folder)
    pid = postmaster_pid(folder)
    attaches = [timed_start(folder) for _ in range(3)]
    assert {attached for _, attached in attaches} == {url}
    assert min(seconds for seconds, _ in attaches) < first / 3
    assert postmaster_pid(folder) == pid


def timed_start(folder: Path) -> tuple[float, str]:
    began = time.monotonic()
    url = embedded_postgres.start(folder)
    return time.monotonic() - began, url


@pytest.mark.slow
def test_it_opens_no_network_port(folder: Path) -> None:
    embedded_postgres.start(folder)
    connections = psutil.Process(postmaster_pid(folder)).net_connections(kind="inet")
    assert [connection for connection in connections if connection.status == psutil.CONN_LISTEN] == []


@pytest.mark.slow
def test_concurrent_starts_share_one_server(folder: Path) -> None:
    command = [sys.executable, "-m", "devserver.embedded_postgres", "start", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(embedded_postgres.__file__).parents[1])}

    def start(_: int) -> str:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(start, range(4)))
    assert len(urls) == 1
    assert answer(urls.pop().strip()) == 42


@pytest.mark.slow
def test_committed_data_survives_a_kill_9(folder: Path) -> None:
    with psycopg.connect(embedded_postgres.start(folder)) as connection:
        connection.execute("CREATE TABLE stored AS SELECT 7 AS value")
    os.kill(postmaster_pid(folder), signal.SIGKILL)
    with psycopg.connect(embedded_postgres.start(folder)) as connection:
        assert connection.execute("SELECT value FROM stored").fetchone() == (7,)


@pytest.mark.slow
def test_it_starts_despite_a_pid_file_of_another_process(folder: Path) -> None:
    embedded_postgres.start(folder)
    os.kill(postmaster_pid(folder), signal.SIGKILL)
    pid_file = folder / "postmaster.pid"
    _, _, rest = pid_file.read_text().partition("\n")
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    assert answer(embedded_postgres.start(folder)) == 42


@pytest.mark.slow
def test_an_incomplete_cluster_of_a_killed_start_is_replaced(folder: Path) -> None:
    unfinished = folder.with_name("postgres.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    assert answer(embedded_postgres.start(folder)) == 42


@pytest.mark.slow
def test_stop_ends_the_server_and_leaves_no_pid_file(folder: Path) -> None:
    url = embedded_postgres.start(folder)
    with psycopg.connect(url):  # an open session does not hold it up
        embedded_postgres.stop(folder)
    assert not (folder / "postmaster.pid").exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_stopping_a_stopped_cluster_is_no_error(folder: Path) -> None:
    embedded_postgres.stop(folder)
    assert not folder.exists()


@pytest.mark.slow
def test_a_cluster_in_use_is_not_stopped_as_unused(folder: Path) -> None:
    with psycopg.connect(embedded_postgres.start(folder)) as session:
        embedded_postgres.stop_unused(folder)
        assert session.execute("SELECT 42").fetchone() == (42,)
    embedded_postgres.stop_unused(folder)
    assert not (folder / "postmaster.pid").exists()


def test_a_folder_that_cannot_be_used_is_named_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_postgres, "START_SECONDS", 0.5)
    (tmp_path / "PG_VERSION").write_text("18\n")
    with pytest.raises(embedded_postgres.ClusterUnavailable, match="does not start"):
        embedded_postgres.start(tmp_path)
