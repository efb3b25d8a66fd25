"""`make run`: starts everything that Switchyard needs, restarts what dies, and stops all of it at the end.

Does not import Django's settings: importing them starts the database, and that is a step of its own here.
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
from devserver.stop_signal import Wishes
from devserver.supervisor import OwnDatabase, Supervisor
from devserver.terminal import Terminal
from kit import env

ROOT = Path(__file__).resolve().parents[2]
MODEL_SECONDS = 120.0
READY_SECONDS = 120.0
STOP_MARGIN_SECONDS = 30.0
CLEAN_UP_SECONDS = 60.0  # that the guard of a killed run may take, beside what its web server takes to stop
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Installation:
    """Where this run keeps its things and what it listens on, as the environment says."""

    host: str
    port: int
    data: Path
    postgres: Path
    models: Path
    database_url: str
    local_model_url: str
    local_model_context: int
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
            allowed_hosts=env.listing("ALLOWED_HOSTS", ["localhost"]),
            engine=env.text("ENGINE", "direct"),
            egress_url=env.text("EGRESS_URL", "http://127.0.0.1:8002"),
            development=env.boolean("DEBUG", True),
            grace=env.integer("GRACE", 30),
        )

    @property
    def stop_seconds(self) -> float:
        """How long a process may take to stop before it is killed: GRACE, and time to close what is left."""
        return self.grace + STOP_MARGIN_SECONDS

    @property
    def has_egress(self) -> bool:
        """Only what runs turns elsewhere calls models back through us."""
        return self.engine == "librechat"

    @property
    def egress_place(self) -> tuple[str, int]:
        """What the egress listens on: where LibreChat reaches it, on this machine."""
        try:
            parts = urlsplit(self.egress_url)
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            host = None
        if not host:
            raise Failure(f"EGRESS_URL={self.egress_url!r} is not of the form http://host:port.")
        return {"localhost": "127.0.0.1"}.get(host, host), port

    @property
    def own_address(self) -> str:
        """Where this machine reaches the web server, whatever it listens on."""
        return _reached_at(self.host)

    @property
    def own_name(self) -> str:
        """A name that the web server answers to: it refuses those that are not its own."""
        return self.allowed_hosts[0].lstrip(".*") or "localhost"

    @property
    def url(self) -> str:
        name = "localhost" if self.own_address in {"127.0.0.1", "::1"} else self.own_address
        return f"http://{name}:{self.port}"


def main() -> int:
    terminal, wishes = Terminal(), Wishes()
    try:
        here = Installation.from_environment()
        _expect_free_ports(here)
        lock = RunLock(here.data)
        lock.take(
            here.url,
            on_wait=lambda: terminal.line("A killed run is still being cleaned up; waiting for it."),
            check=wishes.check,
            seconds=CLEAN_UP_SECONDS + here.stop_seconds,
        )
        try:
            return _run(here, terminal, wishes, lock)
        finally:
            lock.release()
    except StopRequested:
        return 0
    except (Failure, ImproperlyConfigured, OSError) as exc:
        terminal.line(str(exc))
        return 1


def _run(here: Installation, terminal: Terminal, wishes: Wishes, lock: RunLock) -> int:
    supervisor = Supervisor(
        folder=ROOT, terminal=terminal, wishes=wishes, lock_fd=lock.fd, stop_seconds=here.stop_seconds
    )
    try:
        _bring_up(here, supervisor, terminal)
        terminal.line(f"\nSwitchyard is ready: {here.url}   (Ctrl-C stops it)\n")
        supervisor.watch()
    except StopRequested:
        return 0
    except Failure as exc:
        terminal.line(str(exc))
        return 1
    finally:
        with terminal.step(f"Stopping: replies in progress have up to {here.grace} s, Ctrl-C ends them now"):
            supervisor.end_all()


def _bring_up(here: Installation, supervisor: Supervisor, terminal: Terminal) -> None:
    python = sys.executable
    manage = [python, str(ROOT / "manage.py")]
    supervisor.environment |= {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
        "PYTHONUNBUFFERED": "1",
        "DATA_DIR": str(here.data),
        "POSTGRES_DIR": str(here.postgres),
        "MODELS_DIR": str(here.models),
    }
    model = _start_model(here, supervisor, terminal)
    if not here.database_url:
        with terminal.step("PostgreSQL"):
            supervisor.environment["DATABASE_URL"] = _start_database(here, supervisor)
    with terminal.step("Migrations"):
        supervisor.run("migrate", [*manage, "migrate", "--verbosity", "0"])
    if not here.development:  # whose pages name each static file by its content, as collected
        with terminal.step("Static files"):
            supervisor.run("collectstatic", [*manage, "collectstatic", "--noinput", "--verbosity", "0"])
    if model:
        with terminal.step("Local model"):
            supervisor.environment["LOCAL_MODEL_URL"] = _wait_for_model(model, supervisor)
    if here.has_egress:
        with terminal.step("Egress"):  # before the web server, and ended after it: turns may finish at a stop
            supervisor.start("egress", _egress_command(*here.egress_place))
            complaint = f"The egress does not answer at {here.egress_url}."
            supervisor.wait_until(lambda: _egress_lives(here), READY_SECONDS, complaint)
    with terminal.step("Web server and worker"):
        supervisor.start("worker", [*manage, "worker"])
        supervisor.start("web", _web_command(here))
        complaint = "The web server does not get ready."
        if here.has_egress:
            complaint += " Is there a LibreChat at LIBRECHAT_URL?"
        supervisor.wait_until(lambda: _is_ready(here), READY_SECONDS, complaint)


def _start_model(here: Installation, supervisor: Supervisor, terminal: Terminal) -> Child | None:
    """Starts the model's server, which loads while the database does; none where another one is named."""
    if here.local_model_url:
        return None
    python = sys.executable
    with terminal.step("Model weights (93 MB, fetched once)"):
        weights = supervisor.run(
            "fetching the weights", [python, "-m", "gateway.providers.weights", str(here.models)]
        )
    command = [python, "-m", "gateway.providers.local_server", "--weights", weights]
    command += ["--context", str(here.local_model_context)]
    return supervisor.start("model", command, show=False, ends_with_stdin=True)


def _start_database(here: Installation, supervisor: Supervisor) -> str:
    command, folder = [sys.executable, "-m", "devserver.embedded_postgres"], str(here.postgres)
    start = [*command, "start", folder]
    database = OwnDatabase(
        start=start, stop=[*command, "stop", folder], is_alive=lambda: embedded_postgres.runs(here.postgres)
    )
    supervisor.own_database(here.postgres, database)
    return supervisor.run("PostgreSQL", start)


def _wait_for_model(model: Child, supervisor: Supervisor) -> str:
    supervisor.wait_until(
        lambda: bool(model.last_lines()), MODEL_SECONDS, "The local model does not respond."
    )
    try:
        url: str = json.loads(model.last_lines()[-1])["url"]
    except ValueError as exc:
        raise Failure(f"The local model does not start: {' '.join(model.last_lines())}") from exc
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    complaint = "The local model does not respond."
    supervisor.wait_until(lambda: _answers(host, port, "/health", host), MODEL_SECONDS, complaint)
    # Started again it listens where the web server looks for it.
    model.command += ["--port", str(port)]
    return url


def _web_command(here: Installation) -> list[str]:
    return serve_command("config.asgi:application", here.host, here.port)


def _egress_command(host: str, port: int) -> list[str]:
    # One process, whatever WEB_CONCURRENCY says: a repeated call must meet its first attempt.
    return [*serve_command("config.egress:application", host, port), "--workers", "1"]


def serve_command(application: str, host: str, port: int) -> list[str]:
    """How an application is served here, as in the image; uvicorn's options may follow."""
    command = [sys.executable, "-m", "kit.serve", application, "--lifespan", "on", "--http", "h11"]
    command += ["--no-proxy-headers"]  # whom to believe about addresses is BEHIND_PROXY's matter alone
    command += ["--ws", "websockets-sansio", "--timeout-graceful-shutdown", "10", "--log-level", "warning"]
    return [*command, "--host", host, "--port", str(port)]


def _is_ready(here: Installation) -> bool:
    return _answers(here.own_address, here.port, "/readyz", here.own_name)


def _egress_lives(here: Installation) -> bool:
    host, port = here.egress_place
    return _answers(_reached_at(host), port, "/healthz", "localhost")


def _answers(host: str, port: int, path: str, name: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": name})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reached_at(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here


def _expect_free_ports(here: Installation) -> None:
    _expect_free_port(here.host, here.port, "PORT", "try PORT=9000")
    if here.has_egress:
        host, port = here.egress_place
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
