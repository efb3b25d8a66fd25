"""`make run`, for real: it starts everything, and leaves no process behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from django.conf import settings

from kit import __version__
from kit.tests.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
UP = [sys.executable, "-m", "devserver.up"]
START_SECONDS = 120.0
STOP_SECONDS = 60.0
RECOVERY_SECONDS = 60.0  # a failed provider is not called for half of this


class Run:
    """One `python -m devserver.up`, or `make run`, on a free port with its own data folder."""

    def __init__(
        self, data: Path, *, port: int | None = None, command: list[str] | None = None, **environment: str
    ) -> None:
        self.data = data
        self._more = environment
        self.port = port or free_port()
        self._log = data.with_name(f"{data.name}-{self.port}.log").open("w+")
        self._process = subprocess.Popen(
            command or UP,
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started: list[psutil.Process] = []

    def _environment(self) -> dict[str, str]:
        unwanted = re.compile(
            "DATABASE_URL|LOCAL_MODEL_URL|LOCAL_EMBEDDING_URL|POSTGRES_DIR|HOST|MAKE.*|MFLAGS"
        )
        inherited = {name: value for name, value in os.environ.items() if not unwanted.fullmatch(name)}
        return inherited | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
            "DATA_DIR": str(self.data),
            "MODELS_DIR": str(settings.MODELS_DIR),
            "PORT": str(self.port),
            **self._more,
        }

    @property
    def output(self) -> str:
        return Path(self._log.name).read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def postmaster_pid_file(self) -> Path:
        return self.data / "postgres" / "postmaster.pid"

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        wait_for(
            lambda: f"Switchyard {__version__} is ready" in self.output or self._has_ended,
            seconds,
            self,
        )
        assert not self._has_ended, self.output
        self.started = psutil.Process(self.pid).children(recursive=True)
        self.started.append(psutil.Process(int(self.postmaster_pid_file.read_text().split()[0])))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"It did not end:\n{self.output}")

    def is_running_after(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def child(self, *words: str) -> psutil.Process:
        """The child process whose command contains these words."""
        (found,) = [p for p in self.started if is_alive(p) and set(words) <= set(p.cmdline())]
        return found

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def has_replaced(self, dead: psutil.Process) -> bool:
        """Whether a new process with the same command is running, or the whole run has ended."""
        running = [p for p in self.children() if is_alive(p) and p.pid != dead.pid]
        return self._has_ended or any(set(PROCESSES["web"]) <= set(p.cmdline()) for p in running)

    def sign_up(self) -> None:
        account = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "name": "Erin"}
        account |= {"tenant_name": "Initech", "workspace_name": "Sales"}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/v1/auth/signup", json=account, trust_env=False)
        assert answer.status_code == 201, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access']}"}

    def replies(self) -> bool:
        """Whether a message gets a reply, which takes web server, database and local model."""
        message = {"message": "Say hello.", "model": "local", "mcps": [], "max_tokens": 8}
        url = f"http://127.0.0.1:{self.port}/v1/chat/send"
        try:
            answer = httpx.post(url, json=message, headers=self.headers, timeout=20, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def expect_nothing_left(self) -> None:
        wait_for(lambda: not any(map(is_alive, self.started)), STOP_SECONDS, self)
        assert not self.postmaster_pid_file.exists(), "the database was not stopped cleanly"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0

    def clean_up(self) -> None:
        if not self._has_ended:
            self.send(signal.SIGTERM)
            self.exit_code()
        self._log.close()

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class ProductionRun(Run):
    """With DEBUG=0, in a fresh clone without collected static files."""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "DEBUG": "0",
            "HTTPS": "0",
            "SECRET_KEY": "a-key-of-this-test-alone-" + "x" * 20,
            "ALLOWED_HOSTS": "localhost,127.0.0.1",
            "EMAIL_HOST": "",
        }


def wait_for(condition: Callable[[], bool], seconds: float, run: Run) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {seconds:.0f} s:\n{run.output}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder per module: each run starts with what the previous one left."""
    return tmp_path_factory.mktemp("installation") / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start_run(**how: object) -> Run:
        runs.append(Run(data, **how))  # type: ignore[arg-type]
        return runs[-1]

    yield start_run
    for run in reversed(runs):
        run.clean_up()


@pytest.fixture
def running(start: Callable[..., Run]) -> Run:
    run = start()
    run.wait_until_ready()
    return run


def test_it_serves_and_prints_its_steps_and_its_address(running: Run) -> None:
    assert httpx.get(f"http://127.0.0.1:{running.port}/readyz", trust_env=False).status_code == 200
    assert f"http://localhost:{running.port}" in running.output
    for step in (
        *("Model weights", "Embedding model weights", "PostgreSQL", "Migrations", "Local model"),
        *("Local embedding model", "Web server and worker"),
    ):
        assert re.search(rf"^{step}.*\d\.\d s$", running.output, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(
    not (settings.MODELS_DIR / "all-MiniLM-L6-v2.int8.onnx").is_file() and not os.environ.get("REQUIRE_ALL"),
    reason="the embedding model could not be fetched",
)
def test_the_built_in_embedding_model_answers(running: Run) -> None:
    running.sign_up()
    answer = httpx.post(
        f"http://127.0.0.1:{running.port}/v1/embeddings",
        json={"model": "local-embedding", "input": "hello"},
        headers=running.headers,
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"][0]["embedding"]) == 384
    assert answer.json()["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_it_starts_again_with_the_data_of_the_first_run(running: Run, start: Callable[..., Run]) -> None:
    running.send(signal.SIGINT)
    running.exit_code()
    start().wait_until_ready()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(running: Run, number: signal.Signals) -> None:
    running.send(number)
    assert running.exit_code() == 0
    running.expect_nothing_left()


def test_a_stop_waits_for_grace_until_a_second_signal(start: Callable[..., Run]) -> None:
    run = start(GRACE="300")
    run.wait_until_ready()
    run.child(*PROCESSES["web"]).suspend()  # as if its replies took longer
    run.send(signal.SIGTERM)
    wait_for(lambda: "replies in progress have up to 300 s" in run.output, 10, run)
    assert run.is_running_after(2)
    run.send(signal.SIGTERM)
    assert run.exit_code() == 0
    run.expect_nothing_left()


def test_a_kill_9_of_the_supervisor_leaves_nothing_running(running: Run) -> None:
    running.send(signal.SIGKILL)
    running.exit_code()
    running.expect_nothing_left()


def test_a_start_right_after_a_kill_9_waits_for_the_clean_up(running: Run, start: Callable[..., Run]) -> None:
    running.send(signal.SIGKILL)
    running.exit_code()
    again = start()
    again.wait_until_ready()
    assert not any(map(is_alive, running.started))


def test_it_ends_with_its_parent(start: Callable[..., Run]) -> None:
    run = start(command=["/bin/sh", "-c", '"$0" "$@"; exit $?', *UP])
    run.wait_until_ready()
    run.send(signal.SIGKILL)
    run.exit_code()
    run.expect_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_ends_when_make_alone_gets_the_signal(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start(command=["make", "run"])
    run.wait_until_ready()
    run.send(number)
    run.exit_code()
    run.expect_nothing_left()


PROCESSES = {
    "web": ("kit.serve", "config.asgi:application"),
    "worker": (str(ROOT / "manage.py"), "worker"),
    "model": ("gateway.providers.local_server",),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_is_restarted(running: Run, name: str) -> None:
    running.sign_up()
    running.child(*PROCESSES[name]).kill()
    wait_for(lambda: f"The {name} process ended (killed by signal 9)" in running.output, 10, running)
    wait_for(running.replies, RECOVERY_SECONDS, running)
    running.send(signal.SIGTERM)
    assert running.exit_code() == 0
    running.expect_nothing_left()


def test_a_killed_database_is_restarted(running: Run) -> None:
    running.sign_up()
    psutil.Process(int(running.postmaster_pid_file.read_text().split()[0])).kill()
    wait_for(lambda: "PostgreSQL ended unexpectedly and is started again" in running.output, 10, running)
    wait_for(running.replies, RECOVERY_SECONDS, running)
    running.send(signal.SIGTERM)
    assert running.exit_code() == 0
    running.expect_nothing_left()


def test_a_process_that_keeps_dying_ends_the_run_and_is_named(running: Run) -> None:
    for _ in range(6):
        (web,) = [p for p in running.children() if set(PROCESSES["web"]) <= set(p.cmdline())]
        web.kill()
        wait_for(lambda web=web: running.has_replaced(web), 20, running)
    assert running.exit_code() == 1
    assert "The web process ended unexpectedly (killed by signal 9)" in running.output
    running.expect_nothing_left()


def test_a_killed_guard_ends_the_run(running: Run) -> None:
    running.child("devserver.guard_process").kill()
    assert running.exit_code() == 1
    running.expect_nothing_left()


def test_a_port_in_use_is_reported_in_one_line(start: Callable[..., Run]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = start(port=taken.getsockname()[1])
        assert run.exit_code() == 1
    assert len(run.output.splitlines()) == 1
    assert f"Port {run.port}" in run.output


def test_a_second_run_from_the_same_folder_is_refused(running: Run, start: Callable[..., Run]) -> None:
    second = start()
    assert second.exit_code() == 1
    assert f"already runs from this folder: http://localhost:{running.port}" in second.output
    assert httpx.get(f"http://127.0.0.1:{running.port}/healthz", trust_env=False).status_code == 200


def test_production_pages_work_in_a_fresh_clone(tmp_path: Path) -> None:
    collected = Path(settings.STATIC_ROOT)
    aside = collected.with_name(f"{collected.name}-aside")
    if collected.exists():
        collected.rename(aside)
    run = ProductionRun(tmp_path / "data")
    try:
        run.wait_until_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=30) as client:
            page = client.get("/accounts/login/")
            assert page.status_code == 200, run.output
            style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
            assert style
            assert client.get(style[1]).status_code == 200
            assert client.get("/nowhere").status_code == 404
        run.send(signal.SIGTERM)
        assert run.exit_code() == 0
    finally:
        run.clean_up()
        shutil.rmtree(collected, ignore_errors=True)
        if aside.exists():
            aside.rename(collected)
