"""Bounds on what one connection can make the server parse, buffer or wait for."""

import socket
from contextlib import closing, suppress

import httpx
import pytest

from config.tests.test_bodies import opened
from gateway.tests.served import Served
from kit import uvicorn_bounds
from kit.tests.cpu_time import cpu_at_most


def is_cut_off(sock: socket.socket) -> bool:
    sock.settimeout(10)
    with suppress(ConnectionError):
        while sock.recv(65_536):
            pass
    return True


@pytest.mark.parametrize("path", ["/accounts/login/", "/v1/chat/send", "/v1/images"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_a_body_in_tiny_chunks_is_cut_off_and_delays_no_others(
    server: Served, path: str, line_end: str
) -> None:
    chunks = f"1{line_end}x{line_end}".encode() * 50_000
    with closing(opened(server.port, path, "Transfer-Encoding: chunked")) as sock:
        with cpu_at_most(2):  # of the server, in this process
            with suppress(OSError):
                sock.sendall(chunks)
            assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
        assert is_cut_off(sock)


def test_tiny_chunks_right_after_the_headers_are_cut_off_too(server: Served) -> None:
    body = b"1\r\nx\r\n" * 50_000
    with closing(opened(server.port, "/v1/chat/send", "Transfer-Encoding: chunked", body=body)) as sock:
        assert is_cut_off(sock)


def test_an_ordinary_chunked_body_is_read(server: Served) -> None:
    pieces = [b'{"refresh": "', *[b"x" * 100] * 3000, b'"}']
    answer = httpx.post(
        f"{server.url}/v1/auth/token/refresh",
        content=iter(pieces),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {401, 422}


def test_endless_pipelined_requests_are_cut_off(server: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as sock:
        sent = 0
        with suppress(OSError):
            while sent < 50_000_000:
                sock.sendall(request * 1000)
                sent += len(request) * 1000
    assert sent < 50_000_000


def test_a_few_pipelined_requests_are_answered(server: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as sock:
        sock.sendall(request * 20)
        received = b""
        while received.count(b"HTTP/1.1 200") < 20:
            received += sock.recv(65_536)


def test_endless_headers_time_out(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_bounds, "HEAD_SECONDS", 0.5)
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        assert is_cut_off(sock)
