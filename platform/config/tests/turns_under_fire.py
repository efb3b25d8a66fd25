"""Runs turns in an installation whose processes are killed, and checks what must hold afterwards."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from devserver import embedded_postgres
from devserver.tests.test_up import ROOT, Run
from gateway.tests.events import STREAM, parse
from gateway.tests.scripted_provider import Script, ScriptedProvider
from quotas.ledger_audit import CHECKS

MODEL = "scripted"
LEASE_SECONDS = 5
MARGIN_SECONDS = 15.0  # after the lease: for the restart and one recovery of lost turns
FIRST_HALF = [f"early-{number} " for number in range(20)]
SECOND_HALF = [f"late-{number} " for number in range(20)]
WHOLE = "".join([*FIRST_HALF, *SECOND_HALF])


class RunUnderFire(Run):
    """A run with a short lease, whose teams can use the scripted provider."""

    provider_url = ""  # set before the start

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "TURN_LEASE_SECONDS": str(LEASE_SECONDS),
            "OUTBOUND_ALLOWED": self.provider_url.removeprefix("http://"),
        }

    def install_scripted_model(self, abilities: tuple[str, ...] = ("tools",)) -> None:
        command = [
            sys.executable,
            "manage.py",
            "install_model",
            "--tenant",
            "initech",
            "--workspace",
            "sales",
        ]
        command += ["--slug", MODEL, "--provider", "compatible", "--base-url", f"{self.provider_url}/v1"]
        command += ["--upstream-name", "scripted-1", "--context-window", "4000", "--output-bound", "200"]
        environment = self._environment() | {"SCRIPTED_KEY": "sk-scripted"}
        command += ["--key-variable", "SCRIPTED_KEY", "--abilities", *abilities]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)

    def client(self) -> httpx.Client:
        address = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=address, headers=self.headers, timeout=60, trust_env=False)

    def is_ready(self) -> bool:
        try:
            address = f"http://127.0.0.1:{self.port}/readyz"
            return httpx.get(address, timeout=15, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


class Streamed:
    """One turn, followed in its own thread until it ends or its connection is cut."""

    def __init__(self, run: RunUnderFire, path: str, body: dict[str, Any]) -> None:
        self.text, self.turn_id = "", ""
        self.is_half_way, self._cut = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, args=[run, path, body], daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Disconnects during the reply, as a closed browser does."""
        self._cut.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def wait_for_end(self, seconds: float) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the stream never ended"

    def _follow(self, run: RunUnderFire, path: str, body: dict[str, Any]) -> None:
        with suppress(httpx.HTTPError), run.client() as client:
            self._read(client, path, body)

    def _read(self, client: httpx.Client, path: str, body: dict[str, Any]) -> None:
        with client.stream("POST", path, json=body, headers=STREAM) as answer:
            threading.Thread(target=self._leave_when_cut, args=[answer], daemon=True).start()
            lines = answer.iter_lines()
            for text in _texts(self, lines) if path == "/v1/chat/send" else _completed(lines):
                self.text += text
                if len(self.text) >= len("".join(FIRST_HALF)):
                    self.is_half_way.set()

    def _leave_when_cut(self, answer: httpx.Response) -> None:
        self._cut.wait()
        with suppress(Exception):  # another thread reads it, which then ends with an error
            connection = answer.extensions["network_stream"].get_extra_info("socket")
            connection.shutdown(socket.SHUT_RDWR)


def _texts(streamed: Streamed, lines: Any) -> Any:
    for event in parse(lines):
        if event.type == "started":
            streamed.turn_id = event.data["turn_id"]
        if event.type == "delta":
            yield event.data["text"]


def _completed(lines: Any) -> Any:
    for line in lines:
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
                yield choice["delta"].get("content") or ""


def half_way(run: RunUnderFire, provider: ScriptedProvider, number: int, *, completions: int = 0) -> Any:
    """`number` turns that have sent half of their reply, and the event that lets the provider continue."""
    gate = threading.Event()
    provider.script = Script(steps=[*FIRST_HALF, gate, *SECOND_HALF])
    message = {"message": "Count.", "model": MODEL, "mcps": [], "max_tokens": 100}
    turns = [Streamed(run, "/v1/chat/send", message) for _ in range(number)]
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Count."}], "stream": True}
    cuttable = [
        Streamed(run, "/v1/chat/completions", request | {"max_tokens": 100}) for _ in range(completions)
    ]
    for turn in (*turns, *cuttable):
        assert turn.is_half_way.wait(30), run.output
    return turns, cuttable, gate


class Ledger:
    """The installation's database, read directly."""

    def __init__(self, run: RunUnderFire) -> None:
        self._run = run

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        url = embedded_postgres.start(self._run.data / "postgres")
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute(query, values).fetchall()

    def reserved(self) -> list[tuple[Any, ...]]:
        """Counters, open turns and running calls with reservations."""
        return [
            *self.rows("SELECT metric, level, reserved FROM quotas_budgetwindow WHERE reserved <> 0"),
            *self.rows("SELECT id, lease_expires_at FROM quotas_reservation WHERE state = 'open'"),
            *self.rows("SELECT call_id, state FROM quotas_hold WHERE state IN ('held', 'sent')"),
        ]

    def differences(self) -> list[str]:
        """The output of `check_ledger`."""
        return [text for check in CHECKS.values() for (text,) in self.rows(f"{check} LIMIT %s", 100)]

    def charges(self) -> dict[str, int]:
        """Tokens by turn."""
        query = "SELECT turn_id::text, sum(input_tokens + output_tokens) FROM quotas_usagerecord GROUP BY 1"
        return {turn: int(tokens) for turn, tokens in self.rows(query)}

    def turns(self) -> list[tuple[str, str, str]]:
        """Id, status and current text of every turn."""
        ((schema,),) = self.rows("SELECT schema_name FROM accounts_tenant WHERE slug = 'initech'")
        query = f"""SELECT id::text, status, parts FROM "{schema}".gateway_turn WHERE model = %s"""
        return [(turn, status, _text_in(parts)) for turn, status, parts in self.rows(query, MODEL)]


def _text_in(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if part["type"] == "text")


def expect_nothing_reserved(ledger: Ledger) -> None:
    """Within the lease and a margin."""
    deadline = time.monotonic() + LEASE_SECONDS + MARGIN_SECONDS
    while reserved := ledger.reserved():
        assert time.monotonic() < deadline, reserved
        time.sleep(0.1)


def expect_exact(run: RunUnderFire) -> None:
    """No reservations, a consistent ledger; every turn has ended, charged, with a prefix of its text."""
    ledger = Ledger(run)
    expect_nothing_reserved(ledger)
    assert ledger.differences() == []
    charges = ledger.charges()
    for turn_id, status, text in ledger.turns():
        assert status == "done"
        assert WHOLE.startswith(text)
        assert charges.get(turn_id, 0) > 0, f"turn {turn_id} was not charged"


def runs_a_turn(run: RunUnderFire, provider: ScriptedProvider) -> bool:
    provider.script = Script(steps=[*FIRST_HALF, *SECOND_HALF])
    body = {"message": f"Count. {uuid4()}", "model": MODEL, "mcps": [], "max_tokens": 100}
    with suppress(httpx.HTTPError, KeyError, ValueError), run.client() as client:
        return bool(client.post("/v1/chat/send", json=body).json()["reply"] == WHOLE)
    time.sleep(0.2)
    return False
