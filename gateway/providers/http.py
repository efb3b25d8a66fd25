"""One HTTP client for each event loop, with the aiohttp transport (five times httpx's own on streams)."""

import asyncio
from weakref import WeakKeyDictionary

import httpx
from httpx_aiohttp import AiohttpTransport

# Connecting is quick or hopeless; a model may think for a while before its first byte and between two.
TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=10.0)

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


def client() -> httpx.AsyncClient:
    """The running loop's client; it lives as long as the loop."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        found = httpx.AsyncClient(transport=AiohttpTransport(), timeout=TIMEOUT, trust_env=False)
        _clients[loop] = found
    return found


async def close_client() -> None:
    """Gives the running loop's connections back, at the end of its life."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
