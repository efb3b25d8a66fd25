"""Separate web processes on the test's database, served like `make run`, which tests can stop."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from django.conf import settings
from django.db import connection

from devserver.up import serve_command
from gateway.tests.wait import wait_until
from kit.tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


class WebProcess:
    """A process (several with WEB_CONCURRENCY) at a port that stays the same after restarts."""

    def __init__(self, application: str = "config.asgi:application", **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = serve_command(application, "127.0.0.1", self.port)
        self._environment = environment
        self.start()

    def start(self) -> None:
        database = connection.settings_dict
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
                "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
                "LOCAL_MODEL_URL": settings.LOCAL_MODEL_URL,
                **self._environment,
            },
        )

    def wait_until_up(self) -> None:
        wait_until(self.answers, START_SECONDS)

    def answers(self) -> bool:
        assert self.process.poll() is None, "it did not start"
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait_until_end(self, seconds: float) -> None:
        """Fails if it still runs after `seconds`."""
        self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def web_processes(count: int, **environment: str) -> Iterator[list[WebProcess]]:
    started: list[WebProcess] = []
    try:
        for _ in range(count):
            started.append(WebProcess(**environment))
        for process in started:
            process.wait_until_up()
        yield started
    finally:
        for process in started:
            process.kill()
