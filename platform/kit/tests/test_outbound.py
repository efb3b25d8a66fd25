"""Addresses from tenants reach only public hosts and the operator's exceptions, in any spelling."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.tests.served import Served
from kit import outbound
from kit.errors import AddressRefused

PUBLIC = "93.184.216.34"
CREDENTIALS = {
    "Authorization": "Bearer secret",
    "Cookie": "session=secret",
    "x-api-key": "secret",
    "api-key": "secret",
    "x-goog-api-key": "secret",
    "Proxy-Authorization": "Basic secret",
    "Mcp-Session-Id": "secret",
    "X-Auth": "secret",
}

HOSTILE_HOSTS = [
    # IPv4, spelled plainly
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    # IPv4, spelled otherwise
    "0",
    "0x0",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0X7F.0.0.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "2130706433",
    "2852039166",
    "4294967295",
    "127.0.0.1.",
    "127.0.0.0x1",
    "127.0.0.1e",
    "0x.0x.0x.0x",
    "10.1",
    "256.256.256.256",
    "127.0.0.1.1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "①②⑦.⓪.⓪.①",
    "١٢٧.0.0.1",
    # IPv6
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[100::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    # IPv6 with something inside or behind
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:100.64.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[0:0:0:0:0:ffff:10.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::10.0.0.1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "[2606:4700::1111%25eth0]",
    "[v1.x]",
    "[127.0.0.1]",
    # names
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost。",
    "ⓛocalhost",
    "loc\u00adalhost",
    "xn--localhost-",
    "api.localhost",
    "printer.local",
    "metadata.google.internal",
    "metadata.google.internal.",
    "METADATA.GOOGLE.INTERNAL",
    "postgres",
    "redis.",
    ".example.com",
    "example..com",
    "example.com..",
    "-example.com",
    "example-.com",
    "exa mple.com",
    "exa\\mple.com",
    "example.com%00.net",
    "a" * 64 + ".com",
    "a." * 127 + "com",
    "xn--",
    "xn--a",
    "xn--a.example",
    "",
    ".",
]

HOSTILE_URLS = [
    "",
    "example.com",
    "//example.com/",
    "/v1/models",
    "http:",
    "http:///path",
    "http:example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:70/_",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "ws://example.com/",
    " https://example.com/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:8a/",
    "https://example.com:80:80/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://127.0.0.1:443@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://127.0.0.1/@example.com/",
    "https://[::1]example.com/",
    "https://exam\nple.com/",
    "https://example.com\t/",
    "https://" + "a" * 70_000 + ".com/",
]

PUBLIC_HOSTS = [
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "[2606:4700:4700::1111]",
    "[2001:4860:4860::8888]",
    "[::ffff:8.8.8.8]",
    "[64:ff9b::8.8.8.8]",
    "example.com",
    "example.com.",
    "EXAMPLE.com",
    "ex_ample.example.com",
    "münchen.example",
    "xn--mnchen-3ya.example",
    "internal.example.com",
    "localhost.example.com",
]


class Names:
    """A DNS with scripted answers, one after the other; the last one repeats."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Upstream:
    """Echoes the request, or sends scripted redirects; counts requests."""

    def __init__(self) -> None:
        self.redirects: dict[str, tuple[int, str]] = {}
        self.received: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        event = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = {"method": scope["method"], "headers": headers, "body": event.get("body", b"").decode()}
        self.received.append(seen)
        status, location = self.redirects.get(scope["path"], (200, ""))
        answer = [(b"set-cookie", b"planted=1"), (b"content-type", b"application/json")]
        if location:
            answer.append((b"location", location.encode()))
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@pytest.fixture(autouse=True)
def _addresses_as_in_production(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["switchyard.example", ".tenants.example", "9.9.9.9", "[2620:fe::fe]", "*"]
    settings.DEVELOPMENT = True
    settings.OUTBOUND_ALLOWED = []


@pytest.fixture
def here() -> Iterator[tuple[Served, Upstream]]:
    upstream = Upstream()
    with Served(upstream) as server:
        yield server, upstream


@pytest.fixture
def elsewhere() -> Iterator[tuple[Served, Upstream]]:
    upstream = Upstream()
    with Served(upstream) as server:
        yield server, upstream


@pytest.fixture
async def http() -> httpx.AsyncClient:
    return outbound.client()


def allow(settings: Any, *servers: Served) -> None:
    settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{server.port}" for server in servers]


async def refuses(lookup: outbound.Lookup, *urls: str) -> None:
    """Both in advance and at the request, without revealing what the name resolves to."""
    async with outbound.OutboundClient(lookup) as client:
        for url in urls:
            with pytest.raises(AddressRefused) as at_request:
                await client.get(url, timeout=2)
            with pytest.raises(AddressRefused) as up_front:
                await outbound.check_url(url, lookup=lookup)
            assert at_request.value.text == up_front.value.text == AddressRefused.message
            assert at_request.value.details == up_front.value.details == {}


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
async def test_a_hostile_host_is_refused_in_every_spelling(host: str) -> None:
    names = Names([PUBLIC])
    await refuses(names, f"https://{host}/", f"http://{host}:8080/x?y#z")
    assert names.asked == []


@pytest.mark.parametrize("url", HOSTILE_URLS)
async def test_a_hostile_url_is_refused(url: str) -> None:
    names = Names([PUBLIC])
    await refuses(names, url)
    assert names.asked == []


@pytest.mark.parametrize("host", PUBLIC_HOSTS)
async def test_a_public_host_is_accepted(host: str) -> None:
    await outbound.check_url(f"https://{host}/v1", lookup=Names([PUBLIC]))
    await outbound.check_url(f"https://{host}:8443/v1", lookup=Names([PUBLIC, "2606:4700:4700::1111"]))


async def test_no_name_is_looked_up_for_a_literal_address() -> None:
    names = Names(OSError("no such name"))
    await outbound.check_url("https://8.8.8.8/", lookup=names)
    await outbound.check_url("https://[2606:4700:4700::1111]/", lookup=names)
    assert names.asked == []


async def test_a_name_that_resolves_to_any_hostile_address_is_refused() -> None:
    hosts = {host.strip("[]") for host in HOSTILE_HOSTS}
    addresses = [host for host in hosts if "%25" not in host and outbound.literal(host)]
    assert len(addresses) > 50
    for address in [*addresses, "fe80::1%eth0"]:
        with pytest.raises(AddressRefused):
            await outbound.GuardedResolver(Names([address])).resolve("model.example", 443)


@pytest.mark.parametrize("answer", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"]])
async def test_one_internal_address_among_public_ones_is_refused(answer: list[str]) -> None:
    await refuses(Names(answer), "https://model.example/")


async def test_our_own_hosts_are_refused() -> None:
    names = ("switchyard.example", "SWITCHYARD.example.", "tenants.example", "acme.tenants.example")
    addresses = ("9.9.9.9", "[2620:fe:0::fe]", "[::ffff:9.9.9.9]", "[64:ff9b::9.9.9.9]")
    await refuses(Names([PUBLIC]), *(f"https://{host}/v1/models" for host in names + addresses))


async def test_a_name_that_resolves_to_our_own_address_is_refused() -> None:
    await refuses(Names(["9.9.9.9"]), "https://model.example/")
    await refuses(Names(["2620:fe::fe"]), "https://model.example/")


async def test_names_that_only_look_like_ours_are_accepted() -> None:
    for host in ("notswitchyard.example", "www.switchyard.example", "nottenants.example"):
        await outbound.check_url(f"https://{host}/", lookup=Names([PUBLIC]))


async def test_production_uses_plain_http_only_if_the_operator_allows_it(settings: Any) -> None:
    settings.DEVELOPMENT = False
    settings.OUTBOUND_ALLOWED = ["inner.example:8080"]
    await refuses(Names([PUBLIC]), "http://model.example/")
    await outbound.check_url("https://model.example/", lookup=Names([PUBLIC]))
    await outbound.check_url("http://inner.example:8080/", lookup=Names(["10.0.0.1"]))


async def test_an_unknown_name_is_refused_in_advance_and_fails_at_the_request() -> None:
    names = Names(OSError("no such name"))
    with pytest.raises(AddressRefused, match="found"):
        await outbound.check_url("https://model.example/", lookup=names)
    async with outbound.OutboundClient(names) as client:
        with pytest.raises(httpx.TransportError):
            await client.get("https://model.example/")


async def test_a_name_that_takes_too_long_is_refused_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    monkeypatch.setattr(outbound, "LOOKUP_SECONDS", 0.01)
    with pytest.raises(AddressRefused, match="found"):
        await outbound.check_url("https://model.example/", lookup=forever)


async def test_the_systems_resolver_is_the_default() -> None:
    assert await outbound.look_up("127.0.0.1", 80) == ["127.0.0.1"]


# --- rebinding ----------------------------------------------------------------------------------


async def test_a_name_that_was_public_at_the_check_is_checked_again(
    here: tuple[Served, Upstream],
) -> None:
    server, upstream = here
    names = Names([PUBLIC], ["127.0.0.1"])
    url = f"http://model.example:{server.port}/"
    await outbound.check_url(url, lookup=names)
    async with outbound.OutboundClient(names) as client:
        with pytest.raises(AddressRefused):
            await client.get(url)
    assert upstream.received == []


async def test_the_checked_address_is_the_one_connected_to(
    settings: Any, here: tuple[Served, Upstream]
) -> None:
    server, _ = here
    settings.OUTBOUND_ALLOWED = [f"model.example:{server.port}"]
    names = Names(["127.0.0.1"], AssertionError("asked twice for one connection"))
    async with outbound.OutboundClient(names) as client:
        response = await client.get(f"http://model.example:{server.port}/")
    assert response.json()["headers"]["host"] == f"model.example:{server.port}"
    assert names.asked == [("model.example", server.port)]


async def test_dns_answers_are_not_cached(settings: Any, here: tuple[Served, Upstream]) -> None:
    server, _ = here
    settings.OUTBOUND_ALLOWED = [f"model.example:{server.port}"]
    names = Names(["127.0.0.1"])
    async with outbound.OutboundClient(names) as client:
        for _ in range(2):
            await client.get(f"http://model.example:{server.port}/", headers={"Connection": "close"})
    assert len(names.asked) == 2


# --- the operator's exceptions ------------------------------------------------------------------


async def test_an_allowed_address_is_reached_and_its_neighbours_are_not(
    settings: Any, here: tuple[Served, Upstream], elsewhere: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    (server, _), (other, untouched) = here, elsewhere
    allow(settings, server)
    assert (await http.get(server.url)).status_code == 200
    for url in (other.url, f"http://localhost:{server.port}/", f"http://127.1:{server.port}/"):
        with pytest.raises(AddressRefused):
            await http.get(url)
    with pytest.raises(AddressRefused):
        await http.get(f"http://[::ffff:127.0.0.1]:{server.port}/")
    assert untouched.received == []


async def test_an_allowed_name_is_reached_by_that_name_and_port_only(
    settings: Any, here: tuple[Served, Upstream]
) -> None:
    server, _ = here
    settings.OUTBOUND_ALLOWED = [f"Ollama:{server.port}"]
    async with outbound.OutboundClient(Names(["127.0.0.1"])) as client:
        assert (await client.get(f"http://OLLAMA:{server.port}/")).status_code == 200
        for host in (f"ollama:{server.port + 1}", f"my.ollama:{server.port}", f"127.0.0.1:{server.port}"):
            with pytest.raises(AddressRefused):
                await client.get(f"http://{host}/")


async def test_an_allowed_ipv6_address_is_in_brackets(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["[fd00::1]:8080"]
    await outbound.check_url("http://[fd00:0:0::1]:8080/")
    for url in ("http://[fd00::1]/", "http://[fd00::2]:8080/", "http://[fd00::1%25eth0]:8080/"):
        with pytest.raises(AddressRefused):
            await outbound.check_url(url)


async def test_the_schemes_default_port_applies_to_a_url_without_one(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["10.0.0.1:443"]
    await outbound.check_url("https://10.0.0.1/")
    with pytest.raises(AddressRefused):
        await outbound.check_url("http://10.0.0.1/")


async def test_an_entry_without_a_port_allows_nothing(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["10.0.0.1", "*", "*:80", "10.0.0.0/8:80"]
    with pytest.raises(AddressRefused):
        await outbound.check_url("http://10.0.0.1/")


# --- redirects ----------------------------------------------------------------------------------


async def test_redirects_are_not_followed_by_default(
    settings: Any, here: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    server, upstream = here
    allow(settings, server)
    upstream.redirects["/"] = (302, "/there")
    assert (await http.get(server.url)).status_code == 302
    assert len(upstream.received) == 1


HOSTILE_LOCATIONS = [
    "http://169.254.169.254/latest/meta-data/",
    "//169.254.169.254/",
    "http://[::1]/",
    "http://2130706433/",
    "http://metadata.google.internal/",
    "http://user:password@example.com/",
    "file:///etc/passwd",
    "http://xn--a/",
]


@pytest.mark.parametrize("location", HOSTILE_LOCATIONS)
async def test_a_redirect_to_a_hostile_address_is_refused(
    settings: Any, here: tuple[Served, Upstream], http: httpx.AsyncClient, location: str
) -> None:
    server, upstream = here
    allow(settings, server)
    upstream.redirects["/"] = (302, location)
    with pytest.raises(AddressRefused):
        await http.get(server.url, follow_redirects=True)


async def test_a_redirect_to_another_port_of_this_machine_is_refused(
    settings: Any, here: tuple[Served, Upstream], elsewhere: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    (server, upstream), (other, untouched) = here, elsewhere
    allow(settings, server)
    upstream.redirects["/"] = (307, other.url)
    with pytest.raises(AddressRefused):
        await http.post(server.url, json={}, follow_redirects=True)
    async with http.stream("GET", server.url, headers=CREDENTIALS) as response:
        assert response.status_code == 307
    assert untouched.received == []


async def test_a_redirect_within_the_origin_keeps_the_credentials_and_the_body(
    settings: Any, here: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    server, upstream = here
    allow(settings, server)
    upstream.redirects["/old"] = (307, "/new")
    response = await http.post(
        f"{server.url}/old", headers=CREDENTIALS, content="hello", follow_redirects=True
    )
    assert [hop.status_code for hop in response.history] == [307]
    assert response.json()["body"] == "hello"
    sent = response.json()["headers"]
    assert all(sent[name.lower()] == value for name, value in CREDENTIALS.items() if name != "Cookie")


async def test_a_redirect_to_another_origin_drops_the_credentials(
    settings: Any, here: tuple[Served, Upstream], elsewhere: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    (server, upstream), (other, _) = here, elsewhere
    allow(settings, server, other)
    upstream.redirects["/"] = (308, f"{other.url}/there")
    sent = CREDENTIALS | {"Accept": "text/event-stream"}
    async with http.stream("POST", server.url, headers=sent, json={}, follow_redirects=True) as response:
        await response.aread()
    received = response.json()["headers"]
    assert not {name.lower() for name in CREDENTIALS} & set(received)
    assert received["accept"] == "text/event-stream"
    assert received["host"] == f"127.0.0.1:{other.port}"


async def test_credentials_of_an_auth_flow_are_dropped_too(
    settings: Any, here: tuple[Served, Upstream], elsewhere: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    (server, upstream), (other, _) = here, elsewhere
    allow(settings, server, other)
    upstream.redirects["/"] = (302, other.url)
    response = await http.get(server.url, auth=("user", "password"), follow_redirects=True)
    assert "authorization" in upstream.received[0]["headers"]
    assert "authorization" not in response.json()["headers"]


async def test_a_chain_of_redirects_ends_after_five(
    settings: Any, here: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    server, upstream = here
    allow(settings, server)
    upstream.redirects |= {f"/{step}": (302, f"/{step + 1}") for step in range(1, 7)}
    assert (await http.get(f"{server.url}/2", follow_redirects=True)).status_code == 200
    with pytest.raises(httpx.TooManyRedirects):
        await http.get(f"{server.url}/1", follow_redirects=True)


async def test_https_verifies_certificates_and_never_redirects_to_http(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: tuple[Served, Upstream]
) -> None:
    (other, untouched), upstream = elsewhere, Upstream()
    upstream.redirects["/down"] = (302, other.url)
    secure = Served(upstream)
    secure.server.config.ssl_certfile = certificate = _self_signed(tmp_path)
    with secure:
        allow(settings, secure, other)
        url = f"https://127.0.0.1:{secure.port}"
        async with outbound.OutboundClient() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(url)
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        async with outbound.OutboundClient() as client:
            assert (await client.get(url)).status_code == 200
            with pytest.raises(AddressRefused):
                await client.get(f"{url}/down", follow_redirects=True)
    assert untouched.received == []


def _self_signed(folder: Path) -> str:
    """A certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


# --- the client ---------------------------------------------------------------------------------


async def test_proxy_variables_are_ignored(
    settings: Any, monkeypatch: pytest.MonkeyPatch, here: tuple[Served, Upstream]
) -> None:
    server, _ = here
    allow(settings, server)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with outbound.OutboundClient() as client:
        assert (await client.get(server.url)).status_code == 200


async def test_no_cookie_is_stored_between_requests_of_different_tenants(
    settings: Any, here: tuple[Served, Upstream]
) -> None:
    server, upstream = here
    settings.OUTBOUND_ALLOWED = [f"model.example:{server.port}"]
    async with outbound.OutboundClient(Names(["127.0.0.1"])) as client:
        for _ in range(2):
            await client.get(f"http://model.example:{server.port}/")
    assert "cookie" not in upstream.received[1]["headers"]


async def test_a_response_can_be_streamed(
    settings: Any, here: tuple[Served, Upstream], http: httpx.AsyncClient
) -> None:
    server, _ = here
    allow(settings, server)
    async with http.stream("POST", server.url, content="hello") as response:
        text = "".join([chunk async for chunk in response.aiter_text()])
    assert json.loads(text)["body"] == "hello"


def test_each_loop_has_one_client_that_is_closed_with_it() -> None:
    async def use() -> httpx.AsyncClient:
        found = outbound.client()
        assert outbound.client() is found
        assert not found.is_closed
        return found

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first is not second
    assert first.is_closed
    assert second.is_closed


def test_a_refused_request_leaves_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def refused() -> list[httpx.Response | BaseException]:
        calls = [outbound.client().get("https://127.0.0.1/") for _ in range(20)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with caplog.at_level(logging.ERROR):
        results = asyncio.run(refused())
        gc.collect()  # an open connection would warn when collected
    assert {type(result) for result in results} == {AddressRefused}
    assert caplog.records == []
