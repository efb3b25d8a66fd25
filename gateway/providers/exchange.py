"""One HTTP exchange with a provider: its time limits, and its failures as our errors."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import aiohttp
import httpx
import structlog
from django.conf import settings

from gateway.errors import ProviderError, ProviderTimeout
from gateway.providers.base import JsonObject
from gateway.providers.inflation import Inflation
from gateway.providers.refusals import redacted, refusal
from gateway.providers.sizes import LARGEST_RESPONSE, encoded
from kit.errors import AddressRefused
from kit.outbound import MAY_BE_COMPRESSED

ClientFactory = Callable[[], httpx.AsyncClient]

# The other limits are our own, below. `pool` bounds the name lookup and the connection.
# Nothing waits for a connection: the clients for models have as many as there are calls.
TIMEOUT = httpx.Timeout(None, connect=5.0, pool=10.0)
HEALTH_SECONDS = 5.0
LARGEST_REFUSAL = 64 * 1024
LONGEST_LOGGED = 4 * 1024  # bytes of a refusal
SHORTEST_SECRET = 6  # characters
log = structlog.get_logger(__name__)
FAIR_BYTES = 32 * 1024  # after which other tasks may run, even if more has arrived
# aiohttp's errors for a connection that was never made. httpx-aiohttp also raises ConnectTimeout for a server
# that hung up, perhaps after it had done work; so the cause is checked.
NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Talks to one provider; never follows a redirect, which would send key and prompt elsewhere."""

    provider: str
    client: ClientFactory
    headers: Mapping[str, str]

    async def post(
        self,
        url: str,
        body: JsonObject,
        *,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = LARGEST_RESPONSE,
    ) -> AsyncGenerator[bytes, None]:
        """The plain chunks of a success's body as they arrive.

        ProviderTimeout, ContextTooLong, ProviderError (also for more than `most_bytes`), and AtCapacity if a
        limit of ours prevented the request.
        """
        now = asyncio.get_running_loop().time
        total_by = now() + settings.PROVIDER_CALL_SECONDS
        first_by = min(now() + settings.PROVIDER_FIRST_BYTE_SECONDS, total_by)
        with self._translated():
            async with asyncio.timeout_at(first_by):
                response = await self._send("POST", url, encoded(body), headers)
            try:
                if not response.is_success:
                    await self._refuse(response, first_by)
                async for chunk in _chunks(response, first_by, total_by, most_bytes):
                    yield chunk
            finally:
                # Errors of the connection after the end of the reply do not matter.
                with suppress(httpx.HTTPError, aiohttp.ClientError, OSError):
                    await response.aclose()

    async def check(self, url: str) -> None:
        """Returns if a GET is answered with 200; ProviderError if not."""
        with self._translated():
            async with asyncio.timeout(HEALTH_SECONDS):
                response = await self._send("GET", url, b"")
                await response.aclose()
        if response.status_code != httpx.codes.OK:
            raise refusal(provider=self.provider, status=response.status_code)

    async def _send(
        self, method: str, url: str, content: bytes, more_headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        client = self.client()
        headers = {"Accept-Encoding": "identity", **(more_headers or {}), **self.headers}
        if content:
            headers["Content-Type"] = "application/json"
        request = client.build_request(
            method, url, content=content, headers=headers, timeout=TIMEOUT, extensions=MAY_BE_COMPRESSED
        )
        return await client.send(request, stream=True, follow_redirects=False)

    async def _refuse(self, response: httpx.Response, by: float) -> None:
        body = b""
        with suppress(TimeoutError, httpx.HTTPError, aiohttp.ClientError):  # the status says enough
            async for chunk in _chunks(response, by, by, LARGEST_RESPONSE):
                body += chunk
                if len(body) > LARGEST_REFUSAL:
                    break
        secrets = self.secrets()
        said = redacted(body[:LONGEST_LOGGED].decode("utf-8", "replace"), secrets)
        log.warning("a provider refused", provider=self.provider, status=response.status_code, said=said)
        raise refusal(
            provider=self.provider,
            status=response.status_code,
            headers=response.headers,
            body=body,
            secrets=secrets,
        )

    def secrets(self) -> list[str]:
        """The values of the headers that may have the key, to be redacted."""
        values = (value.removeprefix("Bearer ") for value in self.headers.values())
        return [value for value in values if len(value) >= SHORTEST_SECRET]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except AddressRefused as exc:
            raise self._unreachable("Requests to the model's address are not allowed.") from exc
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as exc:
            raise self._unreachable("The model's address is not a valid URL.") from exc
        except (httpx.HTTPError, aiohttp.ClientError) as exc:
            raise self._broken(exc) from exc
        except TimeoutError as exc:
            raise ProviderTimeout(provider=self.provider, transient=True) from exc

    def _unreachable(self, text: str, *, transient: bool = False) -> ProviderError:
        return ProviderError(text, provider=self.provider, did_no_work=True, transient=transient)

    def _broken(self, exc: Exception) -> ProviderError:
        if isinstance(exc, httpx.DecodingError):
            return ProviderError(f"The provider's answer cannot be read: {exc}", provider=self.provider)
        if _never_connected(exc):
            return self._unreachable("The model's provider cannot be reached.", transient=True)
        return ProviderError(provider=self.provider)


async def _chunks(
    response: httpx.Response, first_by: float, total_by: float, most_bytes: int
) -> AsyncGenerator[bytes, None]:
    """The plain body, each wait within its limit; times are by the loop's clock."""
    now = asyncio.get_running_loop().time
    inflation = Inflation(response.headers.get("content-encoding", ""))
    chunks, by, size, paused_at = response.aiter_raw(), first_by, 0, 0
    while True:
        async with asyncio.timeout_at(min(by, total_by)):
            raw = await anext(chunks, None)
        if raw is None:
            return
        for chunk in inflation.add(raw):
            size += len(chunk)
            if size > most_bytes:
                raise httpx.DecodingError("The provider's response was too large.")
            yield chunk
            if size - paused_at > FAIR_BYTES:
                await asyncio.sleep(0)
                paused_at = size
        by = now() + settings.PROVIDER_IDLE_SECONDS


def _never_connected(exc: Exception) -> bool:
    if isinstance(exc.__cause__, aiohttp.ClientError):
        return isinstance(exc.__cause__, NEVER_CONNECTED)
    return isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)


def url_below(base_url: str, path: str) -> str:
    """The base URL with `path` appended to its own, before its query (Azure's has one)."""
    url, separator, query = base_url.partition("?")
    return f"{url.rstrip('/')}{path}{separator}{query}"
