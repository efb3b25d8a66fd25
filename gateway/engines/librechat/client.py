"""The part of LibreChat's HTTP API that we use; each call sends an engine account's token.

Its responses are described in docs/librechat.md and shown by the recordings in the tests.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import httpx

from gateway.engines.librechat.error_text import plain_words, words_of_answer
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.providers.base import JsonObject
from gateway.providers.http import client
from gateway.providers.sse import Frame, FrameParser, FrameTooLong

ENDPOINT, MODEL = "Routed", "routed"
# LibreChat answers "Illegal request" unless ua-parser-js finds a browser's name and version in this.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 Switchyard/1.0"
CONVERSATION_HEADER = "x-conversation"  # a proxy routes all calls of a conversation to one replica by it
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
SERVER_TIMEOUT = httpx.Timeout(25.0, connect=5.0)  # LibreChat calls us back before it answers
LONGEST_SERVER_NAME = 100
BROKEN = (httpx.HTTPError, aiohttp.ClientError)  # httpx does not wrap the second, for invalid HTTP
AWAY = {502, 503, 504}  # from a proxy in front of it, or from itself while it starts
# The stream may be silent for over a minute while a model call is repeated; longer means a dead socket.
STREAM_TIMEOUT = httpx.Timeout(150.0, connect=5.0)


class TokenRefused(Exception):
    """The token is invalid or has expired."""


class StreamGone(Exception):
    """There is no generation to follow: it has ended or never existed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in account; tokens are valid for 15 minutes, the cookie for 7 days."""

    token: str = field(repr=False)
    refresh_cookie: str = field(repr=False)
    user_id: str
    role: str


class LibreChatClient:
    """One LibreChat. EngineUnavailable if it cannot be reached, EngineFailed for a refusal or an invalid
    response.

    LibreChat's own message is in the error's text and in `details.engine_said`, without secrets. Each call
    about a conversation names it in CONVERSATION_HEADER.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")

    async def register(self, *, name: str, address: str, password: str) -> None:
        """Creates an account; harmless if it exists, which LibreChat does not report."""
        body = {"name": name, "email": address, "password": password, "confirm_password": password}
        response = await self._send("POST", "/api/auth/register", json=body)
        if response.status_code != httpx.codes.OK:
            raise _failed("LibreChat refuses to register accounts.", response, password)

    async def login(self, *, address: str, password: str) -> Session:
        """TokenRefused for an unknown account."""
        body = {"email": address, "password": password}
        response = await self._send("POST", "/api/auth/login", json=body)
        if response.status_code in {400, 401, 403, 404, 422}:
            raise TokenRefused
        return _session(response)

    async def refresh(self, session: Session) -> Session:
        """A new token by the cookie. TokenRefused if the cookie has expired too."""
        headers = {"Cookie": f"refreshToken={session.refresh_cookie}; token_provider=librechat"}
        response = await self._send("POST", "/api/auth/refresh", headers=headers)
        known = response.status_code == httpx.codes.OK and _is_json(response)
        if not known or not _json(response).get("token"):  # without a valid cookie it is 200 and some text
            raise TokenRefused
        return _session(response, session)

    async def start(self, token: str, body: JsonObject) -> JsonObject:
        """Starts a generation, once for a `clientRequestId`: `{streamId, generationCreatedAt, status}`."""
        response = await self._send(
            "POST",
            f"/api/agents/chat/{ENDPOINT}",
            token=token,
            json=body,
            conversation=body.get("conversationId"),
        )
        if response.status_code != httpx.codes.OK or not _is_json(response):
            raise _failed("LibreChat refuses the turn.", response, token)
        return _json(response)

    async def stream(self, token: str, conversation_id: UUID, *, resume: bool) -> AsyncGenerator[Frame, None]:
        """The generation's frames until the socket closes. StreamGone."""
        headers = _headers(token, conversation_id)
        url = f"{self.base_url}/api/agents/chat/stream/{conversation_id}{'?resume=true' if resume else ''}"
        parser = FrameParser()
        try:
            async with client().stream("GET", url, headers=headers, timeout=STREAM_TIMEOUT) as response:
                _check_stream(response)
                async with aclosing(response.aiter_bytes()) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        for frame in parser.feed(chunk):
                            yield frame
        except (*BROKEN, FrameTooLong) as exc:
            raise EngineUnavailable("The connection to LibreChat was lost.") from exc

    async def abort(self, token: str, conversation_id: UUID, created_at: Any) -> None:
        """Stops the generation that began at `created_at`; a later one continues."""
        body = {"streamId": str(conversation_id), "conversationId": str(conversation_id)}
        if created_at is not None:
            body["generationCreatedAt"] = created_at
        response = await self._send(
            "POST", "/api/agents/chat/abort", token=token, json=body, conversation=conversation_id
        )
        if response.status_code >= 500:
            raise _away("LibreChat did not stop the turn.", response, token)

    async def status(self, token: str, conversation_id: UUID) -> JsonObject:
        """The conversation's generation: `{active, createdAt, resumeState}`; empty if there is none."""
        response = await self._send(
            "GET", f"/api/agents/chat/status/{conversation_id}", token=token, conversation=conversation_id
        )
        if response.status_code >= 500:
            raise _away("LibreChat does not list the running generations.", response, token)
        return _json(response) if response.status_code == httpx.codes.OK and _is_json(response) else {}

    async def messages(self, token: str, conversation_id: UUID) -> list[JsonObject]:
        """Every message of the conversation, oldest first; none if the account does not have it."""
        response = await self._send(
            "GET", f"/api/messages/{conversation_id}", token=token, conversation=conversation_id
        )
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        if response.status_code != httpx.codes.OK:
            raise _away("LibreChat does not return the messages.", response, token)
        rows = _data(response)
        if not isinstance(rows, list):
            raise EngineFailed(
                "LibreChat returned an invalid response for the messages.", status=response.status_code
            )
        return [row for row in rows if isinstance(row, dict)]

    async def rename(self, token: str, conversation_id: UUID, title: str) -> None:
        body = {"arg": {"conversationId": str(conversation_id), "title": title}}
        response = await self._send(
            "POST", "/api/convos/update", token=token, json=body, conversation=conversation_id
        )
        if response.status_code >= 500:
            raise _away("LibreChat did not rename the conversation.", response, token)

    async def delete(self, token: str, conversation_id: UUID) -> None:
        """Harmless if it is gone: LibreChat answers 500 for a conversation that it does not have."""
        body = {"arg": {"conversationId": str(conversation_id)}}
        response = await self._send(
            "DELETE", "/api/convos", token=token, json=body, conversation=conversation_id
        )
        if not response.is_success and await self.messages(token, conversation_id):
            raise _away("LibreChat did not delete the conversation.", response, token)

    async def servers(self, token: str) -> set[str]:
        """The names of the account's MCP servers."""
        response = await self._send("GET", "/api/mcp/servers", token=token)
        if response.status_code != httpx.codes.OK or not _is_json(response):
            raise _failed("LibreChat does not list its MCP servers.", response, token)
        return set(_json(response))

    async def add_server(self, token: str, config: JsonObject) -> str:
        """Registers an MCP server, whose tools LibreChat lists immediately; returns LibreChat's name for it.

        EngineFailed if LibreChat's configuration does not let it reach us.
        """
        response = await self._send(
            "POST", "/api/mcp/servers", token=token, json={"config": config}, patience=SERVER_TIMEOUT
        )
        if response.status_code not in {httpx.codes.OK, httpx.codes.CREATED} or not _is_json(response):
            raise _failed("LibreChat refuses the MCP server.", response, token, *_secrets_of(config))
        name = _json(response).get("serverName")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_SERVER_NAME:
            raise EngineFailed("LibreChat does not return the name of the MCP server.")
        return name

    async def change_server(self, token: str, name: str, config: JsonObject) -> bool:
        """Makes LibreChat list the server's tools again; False for an unknown server."""
        response = await self._send(
            "PATCH", f"/api/mcp/servers/{name}", token=token, json={"config": config}, patience=SERVER_TIMEOUT
        )
        if response.status_code in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
            return False
        if response.status_code != httpx.codes.OK:
            raise _failed("LibreChat refuses the MCP server.", response, token, *_secrets_of(config))
        return True

    async def remove_server(self, token: str, name: str) -> None:
        """Harmless if it is gone."""
        response = await self._send("DELETE", f"/api/mcp/servers/{name}", token=token)
        if response.status_code >= 500:
            raise _away("LibreChat did not remove the MCP server.", response, token)

    async def build(self, token: str) -> str:
        """LibreChat's commit, branch and build date; empty if it does not report them."""
        response = await self._send("GET", "/api/config", token=token)
        build = (_data(response) or {}).get("buildInfo") if response.is_success else None
        if not isinstance(build, dict):
            return ""
        named = (build.get("commitShort") or build.get("commit"), build.get("branch"), build.get("buildDate"))
        return plain_words(", ".join(part[:40] for part in named if isinstance(part, str) and part))

    async def health(self) -> None:
        """Returns if LibreChat answers. EngineUnavailable."""
        response = await self._send("GET", "/health")
        if response.status_code >= 500:
            raise EngineUnavailable(status=response.status_code)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
        json: Any = None,
        conversation: UUID | str | None = None,
        patience: httpx.Timeout | None = None,
    ) -> httpx.Response:
        try:
            response = await client().request(
                method,
                f"{self.base_url}{path}",
                headers={**_headers(token, conversation), **(headers or {})},
                json=json,
                timeout=patience or TIMEOUT,
            )
        except BROKEN as exc:
            raise EngineUnavailable from exc
        if response.status_code in AWAY:
            raise EngineUnavailable(status=response.status_code)
        if token and response.status_code == httpx.codes.UNAUTHORIZED:
            raise TokenRefused
        return response


def _headers(token: str, conversation: UUID | str | None = None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if conversation:
        headers[CONVERSATION_HEADER] = str(conversation)
    return headers


def _failed(text: str, response: httpx.Response, *hidden: str) -> EngineFailed:
    """The error with LibreChat's own message, without the `hidden` secrets."""
    text, details = _described(text, response, hidden)
    return EngineFailed(text, **details)


def _away(text: str, response: httpx.Response, *hidden: str) -> EngineUnavailable:
    text, details = _described(text, response, hidden)
    return EngineUnavailable(text, **details)


def _described(text: str, response: httpx.Response, hidden: tuple[str, ...]) -> tuple[str, JsonObject]:
    kind = str(response.headers.get("content-type", ""))
    said = plain_words(words_of_answer(kind, response.text), hidden=hidden)
    details: JsonObject = {"status": response.status_code}
    return (f"{text} It says: {said}", {**details, "engine_said": said}) if said else (text, details)


def _secrets_of(config: JsonObject) -> list[str]:
    headers = config.get("headers")
    return (
        [str(value).removeprefix("Bearer ") for value in headers.values()]
        if isinstance(headers, dict)
        else []
    )


def _check_stream(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise TokenRefused
    if response.status_code == httpx.codes.NOT_FOUND:
        raise StreamGone
    if response.status_code != httpx.codes.OK:
        raise EngineUnavailable("LibreChat does not stream the reply.", status=response.status_code)


def _session(response: httpx.Response, before: Session | None = None) -> Session:
    data = _json(response)
    user = data.get("user")
    if not isinstance(data.get("token"), str) or not isinstance(user, dict):
        raise EngineFailed(
            "LibreChat returned an invalid response to the sign-in.", status=response.status_code
        )
    return Session(
        token=data["token"],
        refresh_cookie=response.cookies.get("refreshToken") or (before.refresh_cookie if before else ""),
        user_id=str(user.get("id") or user.get("_id") or (before.user_id if before else "")),
        role=str(user.get("role") or ""),
    )


def _is_json(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("application/json")


def _json(response: httpx.Response) -> JsonObject:
    data = _data(response)
    if not isinstance(data, dict):
        raise EngineFailed("LibreChat returned an invalid response.", status=response.status_code)
    return data


def _data(response: httpx.Response) -> Any:
    """The JSON of a response; None for anything else."""
    try:
        return response.json() if _is_json(response) else None
    except (ValueError, RecursionError):
        return None
