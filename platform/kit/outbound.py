"""The only HTTP client for addresses that a tenant supplies: models, MCP servers, OAuth metadata, webhooks.

It reaches public addresses and those that the operator allows, and raises AddressRefused for all others.
A literal address is judged before the request; a name is judged by what it resolves to, and the addresses
that were judged are the ones connected to, so a name cannot change its mind in between. Every redirect is
judged again.

A limit of ours that is reached is AtCapacity, and never looks like a failure of the server.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import aiohttp
import httpx
import idna
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from django.http.request import validate_host

from kit.errors import AddressRefused
from kit.lookups import LOOKUP_SECONDS, Lookups
from kit.per_loop import PerLoop
from kit.transports import CandidTransport, open_session

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

# A default for those who pass none: connecting is quick or hopeless, answers may take a while.
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=10.0)
MAX_REDIRECTS = 5
CONNECTIONS = 1_000
CONNECTIONS_PER_HOST = 100  # so that one slow server cannot take them all

UNREADABLE = (httpx.InvalidURL, idna.IDNAError)  # httpx decodes the names it meets
DEFAULT_PORTS = {"http": 80, "https": 443}
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
INNER_DOMAINS = frozenset({"localhost", "local", "internal"})
PACKED = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress"}
PLAIN = {"Accept-Encoding": "identity"}
CREDENTIAL_HEADER = re.compile("auth|cookie|key|token|secret|session|password|credential")

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# Global for `ipaddress`, but no place of anybody else's.
SPECIAL = [
    ip_network(block)
    for block in (
        "168.63.129.16/32",  # Azure's host agent, next door to every machine there
        "192.0.0.0/24",  # protocols' own, among them a NAT's control and Oracle's metadata
        "192.88.99.0/24",  # 6to4's relays
        "2001::/23",  # protocols' own, among them Teredo with an IPv4 address inside
        "2002::/16",  # 6to4, with an IPv4 address inside
        "3fff::/20",  # documentation
    )
]

UNLIMITED = 0  # as aiohttp counts connections
_lookups = Lookups()


def client() -> httpx.AsyncClient:
    """The running loop's guarded client; it lives as long as the loop.

    Raises AddressRefused, AtCapacity where all its connections (to the host, or in all) stay taken, and else
    what httpx raises. Redirects are followed only when the request says so.
    It bounds no answer's size: read what strangers send as a stream. Nothing comes compressed: a few hundred
    bytes could become gigabytes before anybody counts them.
    """
    return _clients.get()


def model_client() -> httpx.AsyncClient:
    """The same for calls to models, whose number is limited where turns are admitted: no call that was
    admitted waits for a connection."""
    return _model_clients.get()


async def look_up(host: str, port: int) -> list[str]:
    """What the system's resolver says. OSError where it says nothing in time, AtCapacity where too many names
    of the same domain are being looked up."""
    return await _lookups.find(host)


async def check_url(url: str, *, lookup: Lookup = look_up) -> None:
    """The client's own check up front, for forms; AddressRefused also for a name that leads nowhere."""
    try:
        host, port = check_destination(httpx.URL(url))
        if literal(host) is None:
            async with asyncio.timeout(LOOKUP_SECONDS):
                await GuardedResolver(lookup).resolve(host, port)
    except UNREADABLE as exc:
        raise AddressRefused from exc
    except (OSError, UnicodeError) as exc:  # a TimeoutError is an OSError
        raise AddressRefused("No server with this name was found.") from exc


class OutboundClient(httpx.AsyncClient):
    """Keeps no cookies, for all tenants share it, and follows redirects by stricter rules than httpx's."""

    def __init__(
        self, lookup: Lookup = look_up, *, most: int = CONNECTIONS, most_per_host: int = CONNECTIONS_PER_HOST
    ) -> None:
        super().__init__(
            transport=GuardedTransport(lookup, most=most, most_per_host=most_per_host),
            timeout=TIMEOUT,
            trust_env=False,
            headers=PLAIN,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        try:
            return super().build_request(*args, **kwargs)
        except UNREADABLE as exc:
            raise AddressRefused from exc

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = False,
    ) -> httpx.Response:
        """As httpx's own; the body of a 307 or 308 goes along, also to another origin."""
        history: list[httpx.Response] = []
        response = await self._send_once(request, auth)
        while follow_redirects is True and response.next_request is not None:
            await response.aclose()
            history.append(response)
            if len(history) > MAX_REDIRECTS:
                raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)
            request = next_hop(request, response.next_request)
            response = await self._send_once(request, None)
        response.history = history
        if not stream:
            await self._read(response)
        return response

    async def _send_once(self, request: httpx.Request, auth: Any) -> httpx.Response:
        try:
            response = await super().send(request, stream=True, auth=auth, follow_redirects=False)
        except UNREADABLE as exc:  # the target of a redirect
            raise AddressRefused from exc
        return await _unpacked(request, response)

    async def _read(self, response: httpx.Response) -> None:
        try:
            await response.aread()
        except BaseException:
            await response.aclose()
            raise


async def _unpacked(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Of a refusal that came compressed all the same, its status and headers; anything else is broken off."""
    codings = response.headers.get("content-encoding", "").lower().replace(",", " ").split()
    if not PACKED.intersection(codings):
        return response
    await response.aclose()
    if response.status_code < 400:
        raise httpx.DecodingError("compressed, which nobody asked for", request=request)
    headers = [pair for pair in response.headers.items() if not pair[0].lower().startswith("content-")]
    return httpx.Response(response.status_code, headers=headers, content=b"", request=request)


class GuardedTransport(CandidTransport):
    """Judges each request's URL, and leaves names to the resolver, which aiohttp skips for literals."""

    def __init__(self, lookup: Lookup, *, most: int, most_per_host: int) -> None:
        super().__init__()
        self.lookup, self.most, self.most_per_host = lookup, most, most_per_host

    def get_client(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self.lookup),
            use_dns_cache=False,
            ssl=self.ssl_context,
            limit=self.most,
            limit_per_host=self.most_per_host,
        )
        return open_session(connector)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_destination(request.url)
        return await super().handle_async_request(request)


class GuardedResolver(AbstractResolver):
    """Refuses a name when any of its addresses is not public."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = [ip_address(text) for text in await self.lookup(host, port)]
        if not found:
            raise OSError(f"{host} has no address")
        if not is_allowed(host, port):
            for address in found:
                check_address(address)
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: Address, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def next_hop(request: httpx.Request, redirect: httpx.Request) -> httpx.Request:
    """The redirect without credentials where it leaves the origin; AddressRefused when it leaves https."""
    if (request.url.scheme, redirect.url.scheme) == ("https", "http"):
        raise AddressRefused
    if origin_of(request.url) != origin_of(redirect.url):
        for name in list(redirect.headers):
            if CREDENTIAL_HEADER.search(name):
                del redirect.headers[name]
    return redirect


def origin_of(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """Who gets to see what stands in a request, as it will be sent."""
    return url.scheme, url.raw_host, url.port


def check_destination(url: httpx.URL) -> tuple[str, int]:
    """Host and port, after all that can be judged without resolving a name."""
    if url.scheme not in DEFAULT_PORTS or url.userinfo or not url.host:
        raise AddressRefused
    host = url.raw_host.decode("ascii")
    port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 65536:
        raise AddressRefused
    if not is_allowed(host, port):
        if url.scheme == "http" and not settings.DEVELOPMENT:
            raise AddressRefused
        check_host(host)
    return host, port


def is_allowed(host: str, port: int) -> bool:
    """The operator names this very host and port in OUTBOUND_ALLOWED."""
    address = literal(host)
    plain = host.lower().removesuffix(".") if address is None else str(address)
    return f"[{plain}]:{port}" in _allowed() if ":" in plain else f"{plain}:{port}" in _allowed()


def _allowed() -> set[str]:
    return {entry.lower() for entry in settings.OUTBOUND_ALLOWED}


def check_host(host: str) -> None:
    """A public address in its plain spelling, or the name of a host that is neither ours nor an inner one."""
    address = literal(host)
    if address is not None:
        check_address(address)
        return
    name = host.removesuffix(".")
    labels = name.split(".")
    is_sane = len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)
    if not is_sane or len(labels) < 2 or labels[-1][0].isdigit():  # 127.1 is an address, no name
        raise AddressRefused
    if labels[-1] in INNER_DOMAINS or is_ours(name):
        raise AddressRefused


def check_address(address: Address) -> None:
    """Global unicast that is not ours; what an IPv6 address carries counts, not its wrapping."""
    address = innermost(address)
    if not is_public(address) or is_ours(str(address)):
        raise AddressRefused


def is_ours(host: str) -> bool:
    """One of ALLOWED_HOSTS; its `*` says nothing about who we are."""
    ours = [pattern for pattern in settings.ALLOWED_HOSTS if pattern != "*"]
    return validate_host(f"[{host}]" if ":" in host else host, ours)


def literal(host: str) -> Address | None:
    """The address that `host` spells plainly; a zone id is no plain spelling."""
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def innermost(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only carries it; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    carried = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped
    return address if carried is None else carried


def is_public(address: Address) -> bool:
    """Globally reachable unicast."""
    is_outside = address.version == 6 and address not in GLOBAL_UNICAST
    is_special = address.is_multicast or any(address in block for block in SPECIAL)
    return address.is_global and not is_outside and not is_special


_clients = PerLoop(OutboundClient, close=OutboundClient.aclose)
_model_clients = PerLoop(
    partial(OutboundClient, most=UNLIMITED, most_per_host=UNLIMITED), close=OutboundClient.aclose
)
