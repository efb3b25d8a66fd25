"""Providers that send without end cost a web process little memory and time, and other tenants nothing.

Costs are compared with those of as many honest replies of the same bound, in the same process and run.
"""

import json
import os
import socketserver
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from accounts.tests.cast import Cast
from gateway.egress.tests.remote import install
from gateway.models import Turn
from gateway.providers.sizes import most_in_few_pieces
from gateway.tests.events import body
from gateway.turns.tests.test_crash import web_process
from kit.tenancy import tenant_scope
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, UsageRecord
from quotas.tests.ledger import limit_to

pytestmark = [pytest.mark.slow, pytest.mark.alone]
AT_ONCE, BOUND = 12, 3000
# Of all replies, as a multiple of honest ones.
MOST_TIMES_CPU, MOST_TIMES_WAIT = 5.0, 12.0
MORE_PIECES = {"single letters": 4}  # times as many as an honest reply has before it is cut off
MOST_MEGABYTES = 100.0
LEAST_WAIT = 0.5  # seconds; a shorter wait of a neighbour is not compared


def piece(delta: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode()


def tool_piece(at: int, arguments: str) -> bytes:
    call = {"index": at, "id": f"c{at}", "function": {"name": "f", "arguments": arguments}}
    return piece({"tool_calls": [call]})


END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
HONEST = piece({"content": "word "}) * (BOUND - 10) + END
FLOODS = {
    "large pieces of text": piece({"content": "word " * 1600}),
    "single letters": piece({"content": "a"}) * 200,
    "reasoning": piece({"reasoning_content": "think " * 1300}),
    "a tool's arguments": tool_piece(0, "x" * 8000),
    "tool calls": b"".join(tool_piece(at, "{}") for at in range(2000)),
    "one line": b"data:" + b"x" * 8000,
    "comments": b": still thinking\n" * 400,
    "lines of one frame": b"data: x\n" * 1000,
    "code of empty lines": piece({"content": "```java\n" + "\n" * 8000}),
}


class Flood(socketserver.StreamRequestHandler):
    """Answers every request with the server's `flood`, repeated until the client leaves if it is endless."""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.rfile.read(length)
        server: Any = self.server
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        try:
            self.wfile.write(server.flood)
            while server.is_endless:
                self.wfile.write(server.flood)
        except OSError:
            server.left.release()


class FloodServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Flood)
        self.flood = b""
        self.is_endless = False
        self.left = threading.Semaphore(0)
        self.address = f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def flooding() -> Iterator[FloodServer]:
    with FloodServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def megabytes(pid: int) -> float:
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Neighbour(threading.Thread):
    """A member of another tenant who requests their profile repeatedly."""

    def __init__(self, url: str, cast: Cast) -> None:
        super().__init__(daemon=True)
        self.client = httpx.Client(base_url=url, headers=cast.charlie.headers, timeout=30)
        self.waits: list[float] = []
        self.is_over = threading.Event()

    def ask(self) -> None:
        begun = time.monotonic()
        assert self.client.get("/v1/me").status_code == 200
        self.waits.append(time.monotonic() - begun)

    def run(self) -> None:
        while not self.is_over.is_set():
            self.ask()
            time.sleep(0.02)


@dataclass
class Cost:
    """Of one kind of flood, AT_ONCE times: the web process's share, and the neighbour's longest wait."""

    cpu_seconds: float
    megabytes: float
    longest_wait: float
    median_wait: float


def cost_of(flood: FloodServer, client: httpx.Client, neighbour: Neighbour, pid: int) -> Cost:
    payload = body("Write.", model="flood", max_tokens=BOUND)

    def send(_: int) -> int:
        return client.post("/v1/chat/send", json=payload).status_code

    neighbour.ask()  # the process has warmed up
    before, spent = megabytes(pid), cpu_seconds(pid)
    neighbour.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = set(pool.map(send, range(AT_ONCE)))
    neighbour.is_over.set()
    neighbour.join()
    assert statuses <= {200, 502}
    for _ in range(AT_ONCE if flood.is_endless else 0):
        assert flood.left.acquire(timeout=30), "the provider is still read"
    return Cost(
        cpu_seconds(pid) - spent,
        megabytes(pid) - before,
        max(neighbour.waits),
        statistics.median(neighbour.waits),
    )


@pytest.mark.django_db(transaction=True)
def test_endless_replies_cost_little_and_slow_no_one_else_down(
    cast: Cast, record_testsuite_property: Callable[[str, object], None]
) -> None:
    limit_to(cast.alice, 10**9)
    nobody = "http://127.0.0.1:1"
    with flooding() as flood, web_process(nobody, OUTBOUND_ALLOWED=flood.address) as (process, url):
        install(cast.alice, f"http://{flood.address}", slug="flood", output_bound=BOUND, context_window=10**6)
        client = httpx.Client(base_url=url, headers=cast.alice.headers, timeout=300)
        flood.flood = HONEST
        honest = cost_of(flood, client, Neighbour(url, cast), process.pid)
        record_testsuite_property("honest", honest)
        flood.is_endless = True
        for kind, flood.flood in FLOODS.items():
            cost = cost_of(flood, client, Neighbour(url, cast), process.pid)
            record_testsuite_property(kind, cost)
            check_cost(kind, cost, honest)
    check_what_was_kept(cast)


def check_cost(kind: str, cost: Cost, honest: Cost) -> None:
    figures = (kind, cost, honest)
    assert cost.cpu_seconds < MOST_TIMES_CPU * MORE_PIECES.get(kind, 1) * honest.cpu_seconds, figures
    assert cost.megabytes < MOST_MEGABYTES, figures
    assert cost.longest_wait < MOST_TIMES_WAIT * max(LEAST_WAIT, honest.longest_wait), figures
    assert cost.median_wait < MOST_TIMES_WAIT * max(LEAST_WAIT, honest.median_wait), figures


def check_what_was_kept(cast: Cast) -> None:
    with tenant_scope(cast.alice.principal.tenant), connection.cursor() as cursor:
        cursor.execute("SELECT max(length(parts::text)) FROM gateway_turn")
        assert cursor.fetchone()[0] < most_in_few_pieces(BOUND)
        reasons = set(Turn.objects.values_list("finish_reason", flat=True))
    assert reasons == {"stop", "length", "error"}
    lines = UsageRecord.objects.all()
    assert {line.exactness for line in lines} == {"estimated", "unreported"}  # of the honest replies
    assert {line.flag for line in lines} >= {"cut_off"}
    assert BudgetWindow.objects.get().reserved == 0
    assert check_ledger().differences == []
