"""Bodies are refused by declared length and by received bytes, before anything buffers them."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from django.conf import settings as django_settings
from fido2 import cbor

from accounts.tests.cast import Cast
from gateway.api.routes import most_body_bytes
from gateway.tests.pictures import picture
from gateway.tests.served import Served
from kit import bodies
from kit.tests.cpu_time import cpu_at_most
from kit.tests.ports import free_port

ADDRESSES = ["/accounts/login/", "/v1/auth/token", "/v1/chat/send", "/t/acme/w/sales/chat/send", "/nowhere"]
ROOT = Path(__file__).resolve().parents[3]


def opened(port: int, path: str, *headers: str, body: bytes = b"") -> socket.socket:
    """A connection with a request that has these headers; each read or write may take 20 s."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers, "", ""]
    sock.sendall("\r\n".join(lines).encode() + body)
    return sock


def answer_on(sock: socket.socket) -> tuple[int, str]:
    """Status and text of the response, read until the connection ends."""
    received = bytearray()
    while piece := sock.recv(65_536):
        received += piece
    return int(received.split(b" ", 2)[1]), received.decode()


def flood(sock: socket.socket, most: int) -> int:
    """Sends endless chunks; returns the bytes sent until the other side closed."""
    sent, chunk = 0, b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while sent < most:
        try:
            sock.sendall(chunk)
        except OSError:
            break
        sent += len(chunk)
    return sent


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_body_that_declares_too_many_bytes_is_refused_before_it_is_sent(server: Served, path: str) -> None:
    with closing(opened(server.port, path, "Content-Length: 99000000000", body=b"x" * 100_000)) as sock:
        sock.shutdown(socket.SHUT_WR)
        status, text = answer_on(sock)
    assert status == 413
    assert '"code": "payload_too_large"' in text
    assert "connection: close" in text.lower()


@pytest.mark.parametrize("path", ADDRESSES)
def test_an_endless_body_is_cut_off(server: Served, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "DRAIN_BYTES", 1_000_000)
    with closing(opened(server.port, path, "Transfer-Encoding: chunked")) as sock:
        sent = flood(sock, 100_000_000)
    assert sent < most_body_bytes(path) + 29_000_000  # what the kernel's buffers hold among it


def test_a_client_that_sends_too_much_receives_the_error(server: Served, cast: Cast) -> None:
    for path, size in (("/v1/auth/token", 8_000_000), ("/v1/chat/send", 40_000_000)):
        answer = httpx.post(server.url + path, content=b"x" * size, headers=cast.bob.headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("path", ["/accounts/login/", "/v1/chat/send"])
def test_a_body_that_takes_too_long_is_refused(
    server: Served, path: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BODY_SECONDS = 0.3
    monkeypatch.setattr(bodies, "DRAIN_SECONDS", 0.1)
    with closing(opened(server.port, path, "Content-Length: 100", body=b"{")) as sock:
        # Other requests are not delayed.
        assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
        status, text = answer_on(sock)
    assert status == 408
    assert '"code": "body_too_slow"' in text


@pytest.mark.slow
def test_the_unfinished_bodies_of_a_network_are_limited(
    server: Served, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "DRAIN_SECONDS", 0.1)
    open_ones = [
        opened(server.port, "/v1/images", "Content-Length: 9000000") for _ in range(bodies.MOST_OPEN_UPLOADS)
    ]
    with closing(opened(server.port, "/v1/images", "Content-Length: 9000000")) as sock:
        assert answer_on(sock)[0] == 429
    token = httpx.post(f"{server.url}/v1/auth/token", json={"email": "nobody@example.com", "password": "x"})
    assert token.status_code == 401  # small bodies have a share of their own
    for sock in open_ones:
        sock.close()
    image = {"content": picture(), "headers": cast.bob.headers}
    while httpx.post(f"{server.url}/v1/images", **image).status_code == 429:  # type: ignore[arg-type]
        time.sleep(0.05)  # the server has not noticed yet that they left


def test_many_quick_bodies_of_one_network_are_accepted(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy without BEHIND_PROXY: only slow bodies use up a network's share."""
    monkeypatch.setattr(bodies, "MOST_OPEN_BODIES", 2)
    body = b'{"refresh": "nonsense"}'
    path = "/v1/auth/token/refresh"
    socks = [opened(server.port, path, f"Content-Length: {len(body)}") for _ in range(10)]
    for sock in socks:
        sock.sendall(body)
    statuses = []
    for sock in socks:
        statuses.append(int(sock.recv(65_536).split(b" ", 2)[1]))
        sock.close()
    assert statuses == [401] * 10


def test_the_egress_refuses_with_a_status_that_engines_do_not_retry(
    served_egress_app: Served, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_MAX_BODY_BYTES = 1_000_000
    monkeypatch.setattr(bodies, "DRAIN_SECONDS", 0.1)
    for headers in (["Content-Length: 99000000000"], ["Transfer-Encoding: chunked"]):
        with closing(opened(served_egress_app.port, "/v1/chat/completions", *headers)) as sock:
            if "chunked" in headers[0]:
                flood(sock, 1_200_000)
            assert answer_on(sock)[0] == 400


@pytest.fixture
def served_egress_app(django_db_setup: None) -> Iterator[Served]:
    with Served("config.egress:application") as server:
        yield server


@pytest.fixture(scope="module")
def daphne(django_db_setup: None) -> Iterator[int]:
    """The port of a daphne in a separate process."""
    database = django_settings.DATABASES["default"]
    options = database.get("OPTIONS", {})
    host = database["HOST"] or options.get("host", "")
    url = f"postgresql://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}?host={host}"
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
        "BODY_SECONDS": "1",
    }
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10)
                break
            except httpx.TransportError:
                assert process.poll() is None, "daphne does not start"
                assert time.monotonic() < deadline, "daphne does not answer"
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("path", ADDRESSES)
def test_daphne_refuses_them_too(daphne: int, path: str) -> None:
    with closing(opened(daphne, path, "Content-Length: 99000000000", body=b"x" * 100_000)) as sock:
        status, text = answer_on(sock)
    assert (status, '"code": "payload_too_large"' in text) == (413, True)
    with closing(opened(daphne, path, "Transfer-Encoding: chunked")) as sock:
        assert flood(sock, 100_000_000) < most_body_bytes(path) + bodies.DRAIN_BYTES + 5_000_000
    with closing(opened(daphne, path, "Content-Length: 100", body=b"{")) as sock:
        status, text = answer_on(sock)
    assert (status, '"code": "body_too_slow"' in text) == (408, True)
    small = httpx.post(f"http://127.0.0.1:{daphne}{path}", json={"a": "x" * 50_000})
    assert small.status_code in {401, 403, 404, 422}


@pytest.mark.slow
def test_bodies_of_strangers_cost_neither_disk_nor_memory_nor_other_peoples_time(server: Served) -> None:
    """Twenty concurrent bodies declare 99 GB, or never end; another person's requests still work."""
    before = psutil.Process().memory_info().rss
    socks = [opened(server.port, "/accounts/login/", "Transfer-Encoding: chunked") for _ in range(20)]
    for sock in socks:
        sock.setblocking(False)
    waits = []
    with cpu_at_most(10):
        for _ in range(30):
            for sock in socks:
                try:
                    sock.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                except OSError:
                    continue
            begun = time.monotonic()
            assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
            waits.append(time.monotonic() - begun)
    assert sorted(waits)[len(waits) // 2] < 5
    assert psutil.Process().memory_info().rss - before < 100_000_000
    spooled = [f for f in psutil.Process().open_files() if f.path.startswith(tempfile.gettempdir())]
    assert sum(os.stat(f.fd).st_size for f in spooled if Path(f.path).exists()) < 30_000_000
    for sock in socks:
        sock.close()


@pytest.mark.parametrize(
    "path",
    ["/accounts/2fa/webauthn/login/", "/accounts/signup/passkey/", "/_allauth/app/v1/auth/webauthn/login"],
)
def test_forms_of_sign_in_are_small(server: Served, path: str) -> None:
    """A passkey's bytes are parsed by a quadratic library: a megabyte took 16 s of CPU."""
    answer = httpx.post(server.url + path, json={"credential": "x" * 70_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_the_largest_passkey_is_parsed_quickly() -> None:
    with cpu_at_most(2, time.thread_time):
        assert len(cbor.decode(b"\x99\xbb\x80" + b"\x01" * 48_000)) == 48_000  # 64 kB as base64
        with pytest.raises(RecursionError):  # an answer of PasskeyErrorsMiddleware
            cbor.decode(b"\x81" * 48_000)


def test_the_openapi_schema_is_built_once_for_all_queries(server: Served) -> None:
    first = httpx.get(f"{server.url}/v1/schema", timeout=30)
    with cpu_at_most(4):  # 2 s and more to build, each time
        for number in range(10):
            again = httpx.get(f"{server.url}/v1/schema?version={number}&lang=de", timeout=30)
            assert again.json() == first.json()
