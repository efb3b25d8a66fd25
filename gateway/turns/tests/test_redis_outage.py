"""Without Redis, dead or hanging, people sign up, sign in and chat as before; /readyz and the log say so."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounts.keys.tests.test_api_keys import make
from accounts.tests.cast import Cast
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.wait import wait_until
from gateway.turns.tests.test_crash import web_process
from kit.redis_access import PAUSE_SECONDS
from kit.tests.ports import free_port

pytestmark = [pytest.mark.slow, needs("redis-server")]
PASSWORD = "a long enough password for all"
MORE_SECONDS = 1.0  # that a request may take longer than while Redis is there
VISITS = 3  # of which the fastest counts: the machine may be busy
AWAY, BACK = b"Redis is unreachable", b"Redis is back"
MEANINGS = (b"limits are counted per process", b"replies that run in other processes come late")


@dataclass
class Redis:
    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    redis.start()
    yield redis
    redis.process.kill()
    redis.process.wait()


class Visitor:
    """Makes typical requests and records the seconds of each."""

    def __init__(self, url: str, key: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.key = {"Authorization": f"Bearer {key}"}
        self.number = 0

    def visit(self) -> dict[str, float]:
        self.number += 1
        times: dict[str, float] = {}
        email = f"visitor{self.number}@example.com"
        person = {"email": email, "password": PASSWORD, "name": "V", "tenant_name": f"Visitors {self.number}"}

        def ask(name: str, method: str, path: str, **what: Any) -> httpx.Response:
            begun = time.monotonic()
            answer = self.client.request(method, path, **what)
            times[name] = time.monotonic() - begun
            assert answer.status_code in {200, 201}, (name, answer.status_code, answer.text)
            return answer

        ask("sign up", "POST", "/v1/auth/signup", json=person)
        signed_in = {"email": email, "password": PASSWORD}
        tokens = ask("sign in", "POST", "/v1/auth/token", json=signed_in).json()
        fresh = ask("refresh", "POST", "/v1/auth/token/refresh", json={"refresh": tokens["refresh"]}).json()
        bearer = {"Authorization": f"Bearer {fresh['access']}"}
        ask("look", "GET", "/v1/me", headers=bearer)
        ask("use a key", "GET", "/v1/models", headers=self.key)
        ask("see the sign-in page", "GET", "/accounts/login/")
        payload = {"message": "hi", "model": "local", "mcps": []}
        said = ask("chat", "POST", "/v1/chat/send", json=payload, headers=bearer).json()
        assert said["reply"] == "Hello there."
        return times

    def redis_state(self) -> tuple[int, str, float]:
        begun = time.monotonic()
        answer = self.client.get("/readyz")
        return answer.status_code, answer.json()["redis"], time.monotonic() - begun


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "hanging"])
def test_everything_works_without_redis(
    how: int, cast: Cast, provider: ScriptedProvider, settings: Any, redis: Redis
) -> None:
    key, log_path = make(cast.alice, "read", "chat"), redis.folder / "log"
    with (
        log_path.open("wb") as log,
        web_process(settings.LOCAL_MODEL_URL, log=log, REDIS_URL=redis.url, TURN_LEASE_SECONDS="15") as (
            _,
            url,
        ),
    ):
        visitor = Visitor(url, key)
        visitor.visit()  # warms up
        usual = visitor.visit()
        assert visitor.redis_state()[:2] == (200, "ok")
        redis.signal(how)
        _visit_in_time(visitor, usual)  # finds out
        status, state, seconds = visitor.redis_state()
        assert (status, state) == (200, "unreachable")
        assert seconds < 5
        _wait_for_the_next_attempt()
        _visit_in_time(visitor, usual)
        said = [line for line in log_path.read_bytes().splitlines() if AWAY in line]
        assert [sum(meaning in line for line in said) for meaning in MEANINGS] == [1, 1], said
        assert b"Traceback" not in log_path.read_bytes()
        if how == signal.SIGKILL:
            redis.start()
        else:
            redis.signal(signal.SIGCONT)
        wait_until(lambda: visitor.redis_state()[1] == "ok")
        _visit_in_time(visitor, usual)
        assert BACK in log_path.read_bytes()


def _visit_in_time(visitor: Visitor, usual: dict[str, float]) -> None:
    times = dict.fromkeys(usual, float("inf"))
    for _ in range(VISITS):
        times = {name: min(took, times[name]) for name, took in visitor.visit().items()}
        if all(took <= usual[name] + MORE_SECONDS for name, took in times.items()):
            return
    pytest.fail(f"{times} instead of {usual}")


def _wait_for_the_next_attempt() -> None:
    """An outage is long enough that Redis is asked again, by one request."""
    threading.Event().wait(PAUSE_SECONDS)
