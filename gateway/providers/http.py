"""One HTTP client per event loop, with the aiohttp transport (five times as fast as httpx's own on streams).

It connects to services that the operator configured: the local model and LibreChat. It stores no cookies,
since LibreChat's would sign in one account as another. The number of connections is not limited: each belongs
to a turn, and turns are limited at admission.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx

from kit.per_loop import PerLoop
from kit.transports import CandidTransport, open_session

# Connecting succeeds quickly or never; a model may be silent for a while before and between its bytes.
UNLIMITED = 0  # in aiohttp's terms
TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=10.0)


def client() -> httpx.AsyncClient:
    """The running event loop's client; it lives as long as the loop."""
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
