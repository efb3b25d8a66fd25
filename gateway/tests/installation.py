"""An installation for fault tests: its own PostgreSQL, web processes, a paced provider, and teams.

Faults in it do not affect other tests.
"""

import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from devserver import embedded_postgres
from gateway.tests.events import STREAM, Frames, StreamEvent, body
from gateway.tests.paced_provider import PacedProvider, answer_to, question
from gateway.tests.served import Served
from kit.tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0


@dataclass
class Team:
    """A team with one workspace and its owner's token."""

    headers: dict[str, str]
    tenant_id: str


@dataclass
class ReceivedTurn:
    """The events of one turn that a client received."""

    events: list[StreamEvent] = field(default_factory=list)
    broken: str = ""  # why its stream ended without `done`

    @property
    def text(self) -> str:
        return "".join(event.data["text"] for event in self.events if event.type == "delta")

    @property
    def turn_id(self) -> str:
        return str(self.events[0].data["turn_id"]) if self.events else ""

    @property
    def finish(self) -> str:
        return next((event.data["finish_reason"] for event in self.events if event.type == "done"), "")


class SmallDisk:
    """An in-memory file system that can be filled up; PermissionError if it cannot be mounted."""

    def __init__(self, folder: Path, megabytes: int = 600) -> None:
        self.folder, self._size = folder, f"size={megabytes}m"

    def __enter__(self) -> "SmallDisk":
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", self._size, "tmpfs", str(self.folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            raise PermissionError("no file system can be mounted here")
        return self

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def __exit__(self, *problem: Any) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class Installation:
    """`with Installation(folder) as installation: installation.start_web() …`"""

    def __init__(self, folder: Path, postgres: Path | None = None, **environment: str) -> None:
        self.postgres = postgres or folder / "postgres"
        self.provider = PacedProvider()
        self._served = Served(self.provider)
        self._environment = environment
        self._folder = folder
        self.webs: list[tuple[subprocess.Popen[bytes], str]] = []

    def __enter__(self) -> "Installation":
        self._served.__enter__()
        self.database_url = embedded_postgres.start(self.postgres)
        self.manage("migrate", "--verbosity", "0")
        return self

    def __exit__(self, *problem: Any) -> None:
        for process, _ in self.webs:
            process.kill()
            process.wait()
        self._served.__exit__(None, None, None)
        embedded_postgres.stop(self.postgres)

    @property
    def environment(self) -> dict[str, str]:
        unwanted = {"REDIS_URL", "POSTGRES_DIR"}
        return {name: value for name, value in os.environ.items() if name not in unwanted} | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
            "DATABASE_URL": self.database_url,
            "DATA_DIR": str(self._folder / "data"),
            "LOCAL_MODEL_URL": self._served.url,
            "SIGNUPS_PER_MINUTE": "1000",
            **self._environment,
        }

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_web(self) -> str:
        """Starts a web process like `make run`; returns its URL."""
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--lifespan", "on"]
        command += ["--http", "h11", "--ws", "websockets-sansio", "--no-proxy-headers"]
        command += ["--log-level", "warning", "--host", "127.0.0.1", "--port", str(port)]
        log = (self._folder / f"web-{port}.log").open("wb")
        process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        self.webs.append((process, url))
        deadline = time.monotonic() + READY_SECONDS
        while not _is_ready(url):
            assert process.poll() is None, self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)
        return url

    def start_worker(self) -> None:
        log = (self._folder / "web-worker.log").open("wb")
        command = [sys.executable, str(ROOT / "manage.py"), "worker"]
        process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
        self.webs.append((process, ""))

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in self._folder.glob("web-*.log"))

    def sign_up(self, url: str) -> Team:
        account = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "name": "Erin"}
        account |= {"tenant_name": f"Team {uuid4().hex[:8]}", "workspace_name": "Sales"}
        answer = httpx.post(f"{url}/v1/auth/signup", json=account, trust_env=False)
        assert answer.status_code == 201, answer.text
        ((tenant_id,),) = self.query("SELECT id FROM accounts_tenant ORDER BY created_at DESC LIMIT 1")
        return Team({"Authorization": f"Bearer {answer.json()['access']}"}, str(tenant_id))

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, values).fetchall()

    def check_ledger(self) -> None:
        """Asserts that the ledger adds up and that nothing is reserved."""
        self.manage("check_ledger")
        assert self.query("SELECT coalesce(sum(reserved), 0) FROM quotas_budgetwindow") == [(0,)]

    def charged(self) -> tuple[int, int]:
        """Input and output tokens of all calls, by the ledger."""
        sums = (
            "SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0) FROM quotas_usagerecord"
        )
        ((read, written),) = self.query(sums)
        return int(read), int(written)

    def counted(self) -> tuple[int, int]:
        """The same, as counted by the provider."""
        calls = self.provider.calls
        return sum(call.prompt for call in calls), sum(call.written for call in calls)


async def ask(url: str, team: Team, name: str, words: int, seconds: float) -> ReceivedTurn:
    """Sends one message and reads its stream to the end."""
    received = ReceivedTurn()
    payload = body(question(name, words, seconds), max_tokens=words + 5)
    try:
        async with (
            httpx.AsyncClient(base_url=url, headers=team.headers, timeout=None, trust_env=False) as client,
            client.stream("POST", "/v1/chat/send", json=payload, headers=STREAM) as answer,
        ):
            if answer.status_code != 200:
                received.broken = (await answer.aread()).decode()
                return received
            async for event in parsed(answer.aiter_lines()):
                received.events.append(event)
    except httpx.HTTPError as problem:
        received.broken = type(problem).__name__
    return received


async def parsed(lines: Any) -> Any:
    """Server-sent events from a stream of lines."""
    frames = Frames()
    async for line in lines:
        if (event := frames.event_at(line)) is not None:
            yield event


async def timed(work: Callable[[], Awaitable[httpx.Response]]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await work()
    return answer, time.monotonic() - began


def expect_exact(received: list[ReceivedTurn], names: list[str], words: int) -> None:
    for one, name in zip(received, names, strict=True):
        assert (one.finish, one.broken) == ("stop", ""), (name, one.finish, one.broken, one.events[-3:])
        assert one.text == answer_to(name, words)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
