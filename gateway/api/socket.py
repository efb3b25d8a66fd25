"""Chat over a WebSocket: the same turns and the same events as over HTTP, several at a time.

The token travels in the subprotocol, `new WebSocket(url, ["bearer", token])`, or in the handshake's header
`Authorization: Bearer …`, never in the URL or a cookie. So pages of any origin may connect, and none can act
for a person who did not give it a token. docs/websocket.md describes the frames for clients.
Frames in:
`{"type": "send", …body of chat/send, "idempotency_key"?}`, `{"type": "resume", "turn_id", "last_event_id"?}`,
`{"type": "stop", "turn_id"}`; an optional `ref` is returned with the answer.
A server that restarts sends `{"type": "moved", "turn_id", "text"}` for each turn that continues elsewhere. It
closes with 1012 once the socket follows no more turns: reconnect after a pause and resume.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from rest_framework import serializers

from accounts.authentication import WORKSPACE_HEADER, bearer_token, principal_of_bearer
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.api.consumer_base import check_host
from gateway.api.event_frames import socket_frame
from gateway.api.frame_limits import TOO_MANY, FrameFlood
from gateway.api.turn_consumers import LARGEST_ID
from gateway.errors import AccessEnded
from gateway.turns.access_watch import watching
from gateway.turns.background import ensure_started
from gateway.turns.event_stream import follow_turn, read_turn
from gateway.turns.events import Started
from gateway.turns.requests import SendRequest
from gateway.turns.services import start_turn, stop_turn
from kit import request_origin
from kit.body_validation import validated
from kit.errors import (
    DomainError,
    InternalError,
    InvalidInput,
    NotAuthenticated,
    PayloadTooLarge,
    RateLimited,
    ShuttingDown,
)
from kit.http_consumer import PING_SECONDS, begin_request
from kit.json_input import parse_object
from kit.postgresql.failures import database_failure
from kit.shutdown_state import stopping
from kit.tenancy import in_public, in_tenant

log = structlog.get_logger(__name__)
PROTOCOL = "bearer"
TRY_AGAIN_LATER = 1013  # https://www.iana.org/assignments/websocket/websocket.xhtml
UNAUTHENTICATED = 4401  # the close code for HTTP's 401
MOST_FOLLOWED = 32  # turns that one socket may follow at a time
OWN_TASKS = 3  # of the socket itself: its ping, its access watch, and its watch for the server's stop
SERVICE_RESTART = 1012  # the close code of a server that stops: reconnect and resume


class TurnFrameSerializer(serializers.Serializer[Any]):
    turn_id = serializers.UUIDField()
    last_event_id = serializers.IntegerField(required=False, default=0, min_value=0, max_value=LARGEST_ID)


class ChatSocket(AsyncWebsocketConsumer):
    """Each frame is authenticated again, so lost access takes effect immediately, and counts as a request."""

    async def connect(self) -> None:
        header = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        self.origin = begin_request(self.scope, header)
        self.tasks: set[asyncio.Task[None]] = set()
        self.forwarders: set[asyncio.Task[None]] = set()  # those of the tasks that forward a turn
        self.frames = asyncio.Lock()  # held while a frame is handled
        self.flood = FrameFlood()
        self.token, self.workspace = self._offered_token(), header.get(WORKSPACE_HEADER, "")
        await self.accept(subprotocol=PROTOCOL if PROTOCOL in self.scope["subprotocols"] else None)
        try:
            check_host(header)
            self.token = self.token or _token_in(header)
            principal = await self._identify()
        except DomainError as error:
            await self._send_error(error, {})
            await self.close(code=TOO_MANY if isinstance(error, RateLimited) else UNAUTHENTICATED)
            return
        except Exception as exc:
            await self._send_error(self._failure(exc), {})
            await self.close(code=TRY_AGAIN_LATER)
            return
        ensure_started()
        self._spawn(self._ping())
        self._spawn(self._close_when_lost(principal))
        stopping().wait_for(self._spawn(self._close_when_stopping()))

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Counted before the frame is parsed, so that no frame is free."""
        frame: dict[str, Any] = {}
        try:
            principal = await self._counted()
            if principal is None:
                return
            frame = self._parse(text_data)
            async with self.frames:
                await self._handle(frame, principal)
        except NotAuthenticated as error:
            await self._send_error(error, frame)
            await self.close(code=UNAUTHENTICATED)
        except DomainError as error:
            await self._send_error(error, frame)
        except Exception as exc:
            await self._send_error(self._failure(exc), frame)

    async def _counted(self) -> Principal | None:
        """The sender of the frame; None after too many frames: an error was sent, or the socket is closed."""
        try:
            self.flood.expect_calm()
            principal = await self._identify()
        except RateLimited as refusal:
            self.flood.note_refusal(refusal)
            await self._send_error(refusal, {})
            if self.flood.is_sustained:
                await self.close(code=TOO_MANY)
            return None
        self.flood.reset()
        return principal

    def _offered_token(self) -> str:
        offered = list(self.scope["subprotocols"])
        return offered[1] if len(offered) == 2 and offered[0] == PROTOCOL else ""

    async def _identify(self) -> Principal:
        if not self.token:
            raise NotAuthenticated
        return await in_public(principal_of_bearer, self.token, self.workspace)

    def _parse(self, text: str | None) -> dict[str, Any]:
        if text is None:
            raise InvalidInput(frame=["Send text frames."])
        if len(text.encode("utf-8", "surrogatepass")) > settings.MAX_BODY_BYTES:
            raise PayloadTooLarge
        return parse_object(text)

    async def _handle(self, frame: dict[str, Any], principal: Principal) -> None:
        handlers: dict[Any, Callable[[dict[str, Any], Principal], Awaitable[None]]] = {
            "send": self._send_message,
            "resume": self._resume,
            "stop": self._stop,
        }
        kind = frame.get("type")
        handler = handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            raise InvalidInput(type=[f"Use one of: {', '.join(handlers)}."])
        request_origin.begin(None, self.origin.address)
        await handler(frame, principal)

    async def _send_message(self, frame: dict[str, Any], principal: Principal) -> None:
        key = frame.get("idempotency_key")
        if key is not None and not isinstance(key, str):
            raise InvalidInput(idempotency_key=["Wrong type."])
        self._expect_free()
        send_request = SendRequest.parse(_fields(frame, "idempotency_key"), idempotency_key=key)
        admitted = await start_turn(principal, send_request)
        self._follow(principal, admitted.turn_id, 0, frame)

    async def _resume(self, frame: dict[str, Any], principal: Principal) -> None:
        expect(principal, Action.CONVERSATIONS_VIEW)
        data = validated(TurnFrameSerializer, _fields(frame))
        self._expect_free()
        await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=data["turn_id"])
        self._follow(principal, data["turn_id"], data["last_event_id"], frame)

    async def _stop(self, frame: dict[str, Any], principal: Principal) -> None:
        expect(principal, Action.CHAT)
        await stop_turn(principal, validated(TurnFrameSerializer, _fields(frame))["turn_id"])

    def _expect_free(self) -> None:
        if len(self.tasks) >= MOST_FOLLOWED + OWN_TASKS:
            raise InvalidInput(type=[f"One socket can follow at most {MOST_FOLLOWED} turns at a time."])

    def _follow(self, principal: Principal, turn_id: UUID, after: int, frame: dict[str, Any]) -> None:
        task = self._spawn(self._forward(principal, turn_id, after, frame))
        self.forwarders.add(task)
        task.add_done_callback(self.forwarders.discard)

    async def _forward(self, principal: Principal, turn_id: UUID, after: int, frame: dict[str, Any]) -> None:
        try:
            await self._forward_events(principal, turn_id, after, frame)
        except ShuttingDown as moved:
            await self._send_frame({"type": "moved", "turn_id": str(turn_id), "text": moved.message})
        except DomainError as error:
            await self._send_error(error, frame)
        except Exception as exc:
            await self._send_error(self._failure(exc), frame)

    async def _forward_events(
        self, principal: Principal, turn_id: UUID, after: int, frame: dict[str, Any]
    ) -> None:
        async for batch in follow_turn(principal, turn_id, after):
            for event in batch:
                ref = _ref(frame) if isinstance(event.event, Started) else {}
                await self._send_frame({**socket_frame(event, turn_id), **ref})

    def _failure(self, problem: Exception) -> DomainError:
        """The error that the client gets; a fault of ours is logged."""
        failure = database_failure(problem)
        if failure is None:
            log.error("socket failed", request_id=self.origin.request_id, exc_info=problem)
        return failure or InternalError()

    async def _close_when_lost(self, principal: Principal) -> None:
        """Closes an idle socket too, as soon as its token is no longer valid."""
        with watching(principal) as watch:
            await watch.lost.wait()
        await self._send_error(AccessEnded(), {})
        await self.close(code=UNAUTHENTICATED)

    async def _close_when_stopping(self) -> None:
        """Closes once the server stops and this socket follows no more turns."""
        await stopping().begun.wait()
        while True:
            async with self.frames:
                if not self.forwarders:
                    await self.close(code=SERVICE_RESTART)
                    return
            await asyncio.wait(set(self.forwarders))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self._send_frame({"type": "ping"})

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _send_error(self, error: DomainError, frame: dict[str, Any]) -> None:
        data = error.as_dict(request_origin.current().request_id)
        await self._send_frame({"type": "error", "error": data, **_ref(frame)})

    async def _send_frame(self, frame: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(frame))


def _token_in(header: dict[str, str]) -> str:
    """Of the Authorization header; TokenInvalid for another scheme."""
    return bearer_token(header.get("authorization", "").encode("latin-1")) or ""


def _ref(frame: dict[str, Any]) -> dict[str, Any]:
    ref = frame.get("ref")
    return {"ref": ref[:64]} if isinstance(ref, str) else {}


def _fields(frame: dict[str, Any], *others: str) -> dict[str, Any]:
    """The frame without what every frame can have, and without `others`."""
    return {name: value for name, value in frame.items() if name not in {"type", "ref", *others}}
