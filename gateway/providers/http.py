"""One HTTP client for each event loop, with the aiohttp transport (five times httpx's own on streams).

It reaches what the operator named, the local model and LibreChat, and keeps no cookies: LibreChat's would
sign one account in as another.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from kit.per_loop import PerLoop

# Connecting is quick or hopeless; a model may think for a while before its first byte and between two.
MOST_CONNECTIONS = 1000  # each running turn on LibreChat holds one for as long as it runs
TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=10.0)


def client() -> httpx.AsyncClient:
    """The running loop's client; it lives as long as the loop."""
    return _clients.get()


def _new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=AiohttpTransport(client=_session),
        timeout=TIMEOUT,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


_clients = PerLoop(_new_client, close=httpx.AsyncClient.aclose)
