"""The only HTTP client for addresses that a tenant supplies: models, MCP servers, OAuth metadata, webhooks.

It connects to public addresses and those that the operator allows, and raises AddressRefused for others. A
literal address is checked before the request, a name by the addresses it resolves to. The connection uses
exactly the checked addresses, so that DNS rebinding has no effect. Every redirect is checked again.

Reaching one of our own limits raises AtCapacity, never an error that looks like the server's.
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
from kit.name_lookups import LOOKUP_SECONDS, Lookups
from kit.per_loop import PerLoop
from kit.transports import CandidTransport, open_session

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

# The default: connecting is quick or hopeless, responses may take a while.
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=10.0)
MAX_REDIRECTS = 5
CONNECTIONS = 1_000
CONNECTIONS_PER_HOST = 100  # so that one slow server cannot use them all

UNREADABLE = (httpx.InvalidURL, idna.IDNAError)  # httpx decodes internationalised names
DEFAULT_PORTS = {"http": 80, "https": 443}
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
INTERNAL_DOMAINS = frozenset({"localhost", "local", "internal"})
COMPRESSIONS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress"}
UNCOMPRESSED = {"Accept-Encoding": "identity"}
# The extension of a request whose caller reads the raw response, and decompresses it in bounded steps.
MAY_BE_COMPRESSED = {"may_be_compressed": True}
CREDENTIAL_HEADER = re.compile("auth|cookie|key|token|secret|session|password|credential")

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# Global according to `ipaddress`, but not other parties' servers.
SPECIAL = [
    ip_network(block)
    for block in (
        "168.63.129.16/32",  # Azure's host agent, reachable from every machine there
        "192.0.0.0/24",  # reserved for protocols, including NAT control and Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # reserved for protocols, including Teredo, which embeds an IPv4 address
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "3fff::/20",  # documentation
    )
]

UNLIMITED = 0  # in aiohttp
_lookups = Lookups()


def client() -> httpx.AsyncClient:
    """The running loop's guarded client; it lives as long as the loop.

    Raises AddressRefused, AtCapacity if all connections (total, or to the host) stay in use, and httpx's
    errors. Follows redirects only if the request says so.
    It does not limit the size of responses: stream those of unknown servers. Compressed responses are
    refused: a few hundred bytes could expand to gigabytes before they are counted.
    """
    return _clients.get()


def model_client() -> httpx.AsyncClient:
    """The same without connection limits, for model calls: admission limits their number, and an admitted
    call must not wait for a connection."""
    return _model_clients.get()


async def look_up(host: str, port: int) -> list[str]:
    """Addresses from the system's resolver. Raises OSError if it finds none in time, AtCapacity if too many
    names of the same domain are being looked up."""
    return await _lookups.find(host)


async def check_url(url: str, *, lookup: Lookup = look_up) -> None:
    """The client's check in advance, for forms; a name that does not resolve is refused too."""
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
    """Stores no cookies, because all tenants share it, and has stricter rules for redirects than httpx."""

    def __init__(
        self, lookup: Lookup = look_up, *, most: int = CONNECTIONS, most_per_host: int = CONNECTIONS_PER_HOST
    ) -> None:
        super().__init__(
            transport=GuardedTransport(lookup, most=most, most_per_host=most_per_host),
            timeout=TIMEOUT,
            trust_env=False,
            headers=UNCOMPRESSED,
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
        """As in httpx; a 307 or 308 sends the body again, also to another origin."""
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
        return await _uncompressed(request, response)

    async def _read(self, response: httpx.Response) -> None:
        try:
            await response.aread()
        except BaseException:
            await response.aclose()
            raise


async def _uncompressed(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Refuses compressed responses; of a compressed error, keeps the status and headers."""
    codings = response.headers.get("content-encoding", "").lower().replace(",", " ").split()
    if not COMPRESSIONS.intersection(codings) or MAY_BE_COMPRESSED.items() <= request.extensions.items():
        return response
    await response.aclose()
    if response.status_code < 400:
        raise httpx.DecodingError("compressed although not requested", request=request)
    headers = [pair for pair in response.headers.items() if not pair[0].lower().startswith("content-")]
    return httpx.Response(response.status_code, headers=headers, content=b"", request=request)


class GuardedTransport(CandidTransport):
    """Checks each request's URL; the resolver checks names, but aiohttp skips it for literal addresses."""

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
    """Refuses a name if any of its addresses is not public."""

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
        """Nothing to close."""


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
    """The redirect, without credentials if it leaves the origin. Raises AddressRefused if it leaves https."""
    if (request.url.scheme, redirect.url.scheme) == ("https", "http"):
        raise AddressRefused
    if origin_of(request.url) != origin_of(redirect.url):
        for name in list(redirect.headers):
            if CREDENTIAL_HEADER.search(name):
                del redirect.headers[name]
    return redirect


def origin_of(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """The origin that receives the request, as it will be sent."""
    return url.scheme, url.raw_host, url.port


def check_destination(url: httpx.URL) -> tuple[str, int]:
    """Host and port, after all checks that are possible without resolving a name."""
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
    """Whether the operator lists exactly this host and port in OUTBOUND_ALLOWED."""
    address = literal(host)
    plain = host.lower().removesuffix(".") if address is None else str(address)
    return f"[{plain}]:{port}" in _allowed() if ":" in plain else f"{plain}:{port}" in _allowed()


def _allowed() -> set[str]:
    return {entry.lower() for entry in settings.OUTBOUND_ALLOWED}


def check_host(host: str) -> None:
    """Accepts a public address in its plain spelling, or a host name that is neither ours nor internal."""
    address = literal(host)
    if address is not None:
        check_address(address)
        return
    name = host.removesuffix(".")
    labels = name.split(".")
    is_sane = len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)
    if not is_sane or len(labels) < 2 or labels[-1][0].isdigit():  # 127.1 is an address, not a name
        raise AddressRefused
    if labels[-1] in INTERNAL_DOMAINS or is_ours(name):
        raise AddressRefused


def check_address(address: Address) -> None:
    """Accepts global unicast that is not ours; an IPv4 address embedded in IPv6 is checked itself."""
    address = innermost(address)
    if not is_public(address) or is_ours(str(address)):
        raise AddressRefused


def is_ours(host: str) -> bool:
    """Whether it is one of ALLOWED_HOSTS; `*` does not count."""
    ours = [pattern for pattern in settings.ALLOWED_HOSTS if pattern != "*"]
    return validate_host(f"[{host}]" if ":" in host else host, ours)


def literal(host: str) -> Address | None:
    """The address if `host` is a literal one without a zone id, else None."""
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def innermost(address: Address) -> Address:
    """The IPv4 address embedded in an IPv6 one (NAT64, IPv4-mapped); else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    carried = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped
    return address if carried is None else carried


def is_public(address: Address) -> bool:
    """Whether it is globally reachable unicast."""
    is_outside = address.version == 6 and address not in GLOBAL_UNICAST
    is_special = address.is_multicast or any(address in block for block in SPECIAL)
    return address.is_global and not is_outside and not is_special


_clients = PerLoop(OutboundClient, close=OutboundClient.aclose)
_model_clients = PerLoop(
    partial(OutboundClient, most=UNLIMITED, most_per_host=UNLIMITED), close=OutboundClient.aclose
)
