"""`make run`: starts everything that Switchyard needs, restarts dead processes, and stops all at the end.

Does not import Django's settings: that would start the database, which is a separate step here.
"""

import http.client
import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from devserver import embedded_postgres
from devserver.child import Child
from devserver.errors import Failure, StopRequested
from devserver.run_lock import RunLock
from devserver.stop_signal import StopSignal
from devserver.supervisor import OwnDatabase, Supervisor
from devserver.terminal import Terminal
from kit import __version__, env

ROOT = Path(__file__).resolve().parents[2]
MODEL_SECONDS = 120.0
READY_SECONDS = 120.0
STOP_MARGIN_SECONDS = 30.0
CLEAN_UP_SECONDS = 60.0  # for the guard of a killed run, in addition to the web server's time to stop
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Installation:
    """This run's folders, addresses and options, from the environment."""

    host: str
    port: int
    data: Path
    postgres: Path
    models: Path
    database_url: str
    local_model_url: str
    local_model_context: int
    local_embedding_url: str
    allowed_hosts: list[str]
    engine: str
    egress_url: str
    development: bool
    grace: int

    @classmethod
    def from_environment(cls) -> "Installation":
        data = Path(env.text("DATA_DIR", str(ROOT / ".data"))).resolve()
        return cls(
            host=env.text("HOST", "127.0.0.1"),
            port=env.integer("PORT", 8000, at_least=1),
            data=data,
            postgres=Path(env.text("POSTGRES_DIR", str(data / "postgres"))).resolve(),
            models=Path(env.text("MODELS_DIR", str(data / "models"))).resolve(),
            database_url=env.text("DATABASE_URL"),
            local_model_url=env.text("LOCAL_MODEL_URL"),
            local_model_context=env.integer("LOCAL_MODEL_CONTEXT", 4096, at_least=256),
            local_embedding_url=env.text("LOCAL_EMBEDDING_URL"),
            allowed_hosts=env.listing("ALLOWED_HOSTS", ["localhost"]),
            engine=env.text("ENGINE", "direct"),
            egress_url=env.text("EGRESS_URL", "http://127.0.0.1:8002"),
            development=env.boolean("DEBUG", True),
            grace=env.integer("GRACE", 30),
        )

    @property
    def stop_seconds(self) -> float:
        """How long a process may take to stop before it is killed: GRACE, plus time to close up."""
        return self.grace + STOP_MARGIN_SECONDS

    @property
    def has_egress(self) -> bool:
        """Only an engine outside this process needs the egress, to call models."""
        return self.engine == "librechat"

    @property
    def egress_address(self) -> tuple[str, int]:
        """Host and port of the egress, where LibreChat on this machine reaches it."""
        try:
            parts = urlsplit(self.egress_url)
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            host = None
        if not host:
            raise Failure(f"EGRESS_URL={self.egress_url!r} is not of the form http://host:port.")
        return {"localhost": "127.0.0.1"}.get(host, host), port

    @property
    def own_host(self) -> str:
        """The host at which this machine reaches the web server."""
        return _reachable_host(self.host)

    @property
    def own_name(self) -> str:
        """A host name that the web server accepts: it refuses names outside ALLOWED_HOSTS."""
        return self.allowed_hosts[0].lstrip(".*") or "localhost"

    @property
    def url(self) -> str:
        name = "localhost" if self.own_host in {"127.0.0.1", "::1"} else self.own_host
        return f"http://{name}:{self.port}"


def main() -> int:
    terminal, stop_signal = Terminal(), StopSignal()
    try:
        installation = Installation.from_environment()
        _expect_free_ports(installation)
        lock = RunLock(installation.data)
        lock.take(
            installation.url,
            on_wait=lambda: terminal.line("A killed run is still being cleaned up; waiting for it."),
            check=stop_signal.check,
            seconds=CLEAN_UP_SECONDS + installation.stop_seconds,
        )
        try:
            return _run(installation, terminal, stop_signal, lock)
        finally:
            lock.release()
    except StopRequested:
        return 0
    except (Failure, ImproperlyConfigured, OSError) as exc:
        terminal.line(str(exc))
        return 1


def _run(installation: Installation, terminal: Terminal, stop_signal: StopSignal, lock: RunLock) -> int:
    supervisor = Supervisor(
        folder=ROOT,
        terminal=terminal,
        stop_signal=stop_signal,
        lock_fd=lock.fd,
        stop_seconds=installation.stop_seconds,
    )
    try:
        _bring_up(installation, supervisor, terminal)
        terminal.line(f"\nSwitchyard {__version__} is ready: {installation.url}   (Ctrl-C stops it)\n")
        supervisor.watch()
    except StopRequested:
        return 0
    except Failure as exc:
        terminal.line(str(exc))
        return 1
    finally:
        with terminal.step(
            f"Stopping: replies in progress have up to {installation.grace} s, Ctrl-C ends them now"
        ):
            supervisor.end_all()


def _bring_up(installation: Installation, supervisor: Supervisor, terminal: Terminal) -> None:
    python = sys.executable
    manage = [python, str(ROOT / "manage.py")]
    supervisor.environment |= {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
        "PYTHONUNBUFFERED": "1",
        "DATA_DIR": str(installation.data),
        "POSTGRES_DIR": str(installation.postgres),
        "MODELS_DIR": str(installation.models),
    }
    model = _start_model(installation, supervisor, terminal)
    embedding_model = _start_embedding_model(installation, supervisor, terminal)
    if not installation.database_url:
        with terminal.step("PostgreSQL"):
            supervisor.environment["DATABASE_URL"] = _start_database(installation, supervisor)
    with terminal.step("Migrations"):
        supervisor.run("migrate", [*manage, "migrate", "--verbosity", "0"])
    if not installation.development:  # production pages use hashed names of collected files
        with terminal.step("Static files"):
            supervisor.run("collectstatic", [*manage, "collectstatic", "--noinput", "--verbosity", "0"])
    if model:
        with terminal.step("Local model"):
            supervisor.environment["LOCAL_MODEL_URL"] = _wait_for_model(model, supervisor)
    if embedding_model:
        with terminal.step("Local embedding model"):
            supervisor.environment["LOCAL_EMBEDDING_URL"] = _wait_for_model(embedding_model, supervisor)
    if installation.has_egress:
        with terminal.step(
            "Egress"
        ):  # started before the web server and stopped after it, so that turns can finish
            supervisor.start("egress", _egress_command(*installation.egress_address))
            complaint = f"The egress does not answer at {installation.egress_url}."
            supervisor.wait_until(lambda: _egress_lives(installation), READY_SECONDS, complaint)
    with terminal.step("Web server and worker"):
        supervisor.start("worker", [*manage, "worker"])
        supervisor.start("web", _web_command(installation))
        complaint = "The web server does not get ready."
        if installation.has_egress:
            complaint += " Is there a LibreChat at LIBRECHAT_URL?"
        supervisor.wait_until(lambda: _is_ready(installation), READY_SECONDS, complaint)


def _start_model(installation: Installation, supervisor: Supervisor, terminal: Terminal) -> Child | None:
    """Starts the local model's server, which loads during the next steps; None if LOCAL_MODEL_URL is set."""
    if installation.local_model_url:
        return None
    python = sys.executable
    with terminal.step("Model weights (93 MB, fetched once)"):
        weights = supervisor.run(
            "fetching the weights", [python, "-m", "gateway.providers.weights", str(installation.models)]
        )
    command = [python, "-m", "gateway.providers.local_server", "--weights", weights]
    command += ["--context", str(installation.local_model_context)]
    return supervisor.start("model", command, show=False, ends_with_stdin=True)


def _start_embedding_model(
    installation: Installation, supervisor: Supervisor, terminal: Terminal
) -> Child | None:
    """Starts its server, which loads the model when it is first used; None if LOCAL_EMBEDDING_URL is set.

    Everything else works without it, so weights that cannot be fetched are only reported.
    """
    if installation.local_embedding_url:
        return None
    python, models = sys.executable, str(installation.models)
    try:
        with terminal.step("Embedding model weights (21 MB, fetched once)"):
            fetch = [python, "-m", "gateway.providers.weights", models, "embedding"]
            supervisor.run("fetching the embedding model", fetch)
    except Failure as exc:
        terminal.line(f"{exc}\nThe built-in embedding model is not available until the next start.")
        return None
    command = [python, "-m", "gateway.providers.local_embedding_server", "--models", models]
    return supervisor.start("embeddings", command, show=False, ends_with_stdin=True)


def _start_database(installation: Installation, supervisor: Supervisor) -> str:
    command, folder = [sys.executable, "-m", "devserver.embedded_postgres"], str(installation.postgres)
    start = [*command, "start", folder]
    database = OwnDatabase(
        start=start,
        stop=[*command, "stop", folder],
        is_alive=lambda: embedded_postgres.runs(installation.postgres),
    )
    supervisor.own_database(installation.postgres, database)
    return supervisor.run("PostgreSQL", start)


def _wait_for_model(model: Child, supervisor: Supervisor) -> str:
    supervisor.wait_until(
        lambda: bool(model.last_lines()), MODEL_SECONDS, "The local model does not respond."
    )
    try:
        url: str = json.loads(model.last_lines()[-1])["url"]
    except ValueError as exc:
        raise Failure(f"The local model does not start: {' '.join(model.last_lines())}") from exc
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    complaint = "The local model does not respond."
    supervisor.wait_until(lambda: _answers(host, port, "/health", host), MODEL_SECONDS, complaint)
    # After a restart it must listen on the same port.
    model.command += ["--port", str(port)]
    return url


def _web_command(installation: Installation) -> list[str]:
    return serve_command("config.asgi:application", installation.host, installation.port)


def _egress_command(host: str, port: int) -> list[str]:
    # Always one process: a repeated call must reach the process of its first attempt.
    return [*serve_command("config.egress:application", host, port), "--workers", "1"]


def serve_command(application: str, host: str, port: int) -> list[str]:
    """The command that serves an application, as in the image; more uvicorn options may follow."""
    command = [sys.executable, "-m", "kit.serve", application, "--lifespan", "on", "--http", "h11"]
    command += ["--no-proxy-headers"]  # only BEHIND_PROXY decides which proxy headers count
    command += ["--ws", "websockets-sansio", "--timeout-graceful-shutdown", "10", "--log-level", "warning"]
    return [*command, "--host", host, "--port", str(port)]


def _is_ready(installation: Installation) -> bool:
    return _answers(installation.own_host, installation.port, "/readyz", installation.own_name)


def _egress_lives(installation: Installation) -> bool:
    host, port = installation.egress_address
    return _answers(_reachable_host(host), port, "/healthz", "localhost")


def _answers(host: str, port: int, path: str, name: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": name})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable_host(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing binds to it here


def _expect_free_ports(installation: Installation) -> None:
    _expect_free_port(installation.host, installation.port, "PORT", "try PORT=9000")
    if installation.has_egress:
        host, port = installation.egress_address
        hint = "set EGRESS_URL to an address of this machine and a free port"
        _expect_free_port(host, port, "EGRESS_URL's port", hint)


def _expect_free_port(host: str, port: int, name: str, hint: str) -> None:
    if port > HIGHEST_PORT:
        raise Failure(f"{name}={port} is above {HIGHEST_PORT}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise Failure(f"Port {port} on {host} cannot be used ({exc.strerror}); {hint}.") from exc


if __name__ == "__main__":
    sys.exit(main())
