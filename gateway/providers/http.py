"""One HTTP client for each event loop, with the aiohttp transport (five times httpx's own on streams).

It reaches what the operator named, the local model and LibreChat, and keeps no cookies: LibreChat's would
sign one account in as another. Its connections have no limit of their own: each belongs to a turn, and turns
are limited where they are admitted.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx

from kit.per_loop import PerLoop
from kit.transports import CandidTransport, open_session

# Connecting is quick or hopeless; a model may think for a while before its first byte and between two.
UNLIMITED = 0  # as aiohttp counts connections
TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=10.0)


def client() -> httpx.AsyncClient:
    """The running loop's client; it lives as long as the loop."""
    return _clients.get()


def _new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=CandidTransport(client=_session),
        timeout=TIMEOUT,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _session() -> aiohttp.ClientSession:
    return open_session(aiohttp.TCPConnector(limit=UNLIMITED))


_clients = PerLoop(_new_client, close=httpx.AsyncClient.aclose)
