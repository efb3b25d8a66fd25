"""The chat routes as Channels consumers: send, explain, follow, stop."""

import json
import random
from collections.abc import AsyncIterator
from typing import ClassVar
from uuid import UUID

from accounts.policy import Action
from accounts.principals import Principal
from gateway.api.consumer_base import EdgeConsumer
from gateway.api.limit_headers import limit_headers
from gateway.errors import AccessEnded
from gateway.turns.admission import Admitted, admit_turn
from gateway.turns.background import ensure_started
from gateway.turns.event_stream import MOVED, collect_result, follow_turn, read_turn
from gateway.turns.explain import explain_turn
from gateway.turns.requests import SendRequest
from gateway.turns.runner import runner
from gateway.turns.stop import request_stop
from gateway.turns.transcript import NumberedEvent
from kit import request_origin
from kit.errors import DomainError, InvalidInput, ShuttingDown, restore
from kit.tenancy import in_tenant

RESUME_MILLISECONDS = (500, 1500)  # between which a client's pause lies before it resumes
LARGEST_ID = 2**53  # what a JavaScript client can hold
LONGEST_ID = 16  # its digits


class TurnConsumer(EdgeConsumer):
    """What the routes of a turn share."""

    followed_id: UUID | None = None  # the turn whose end the client waits for

    async def begin_turn(self, body: bytes) -> UUID:
        """Validates, admits and starts a turn; from here on it runs without this socket."""
        ensure_started()
        wish = SendRequest.parse(self.json_body(body), idempotency_key=self.header.get("idempotency-key"))
        admitted = await start_turn(self.principal, wish)
        self.response_headers |= limit_headers(admitted.limits)
        return admitted.turn_id

    @property
    def turn_id(self) -> UUID:
        turn_id: UUID = self.scope["url_route"]["kwargs"]["turn_id"]
        return turn_id

    def last_event_id(self) -> int:
        """What the client has seen already; 0 is nothing."""
        text = self.header.get("last-event-id", "").strip()
        if not text:
            return 0
        digits = text.lstrip("0") or "0"
        if not (text.isascii() and text.isdigit() and len(digits) <= LONGEST_ID and int(digits) < LARGEST_ID):
            raise InvalidInput(**{"Last-Event-ID": ["Send the id of an event."]})
        return int(digits)

    def cut_off_error(self) -> DomainError:
        return ShuttingDown(MOVED, turn_id=str(self.followed_id)) if self.followed_id else ShuttingDown()

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return moved_frame(error)

    @property
    def wants_stream(self) -> bool:
        return "text/event-stream" in self.header.get("accept", "").lower()

    async def stream_turn(self, turn_id: UUID, after: int = 0) -> None:
        self.followed_id = turn_id
        await self.send_stream(sse_frames(follow_turn(self.principal, turn_id, after)))


class SendConsumer(TurnConsumer):
    """`POST /v1/chat/send`: a stream where the client accepts one, else one JSON at the end."""

    async def handle(self, body: bytes) -> None:
        turn_id = await self.begin_turn(body)
        if self.wants_stream:
            await self.stream_turn(turn_id)
        else:
            await self._send_result(turn_id)

    async def _send_result(self, turn_id: UUID) -> None:
        self.followed_id = turn_id
        events = [event async for batch in follow_turn(self.principal, turn_id) for event in batch]
        result = collect_result(events)
        stored = next((event.data["error"] for event in events if event.type == "error"), None)
        if stored is None:
            await self.send_json(200, result)
            return
        error = restore(stored)
        error.details |= result
        await self.send_error(error)


class ExplainConsumer(TurnConsumer):
    """`POST /v1/chat/explain`: what send would decide, and why, without running anything."""

    async def handle(self, body: bytes) -> None:
        await self.send_json(200, await explain_turn(self.principal, SendRequest.parse(self.json_body(body))))


class EventsConsumer(TurnConsumer):
    """`GET /v1/chat/turns/<id>/events`: follows a turn, from `Last-Event-ID` on."""

    method: ClassVar[str] = "GET"
    action = Action.CONVERSATIONS_VIEW

    async def handle(self, body: bytes) -> None:
        after = self.last_event_id()
        # Read once before the headers, so that a foreign turn is a 404 and not an empty stream.
        await in_tenant(self.principal.tenant, read_turn, principal=self.principal, turn_id=self.turn_id)
        await self.stream_turn(self.turn_id, after)


class StopConsumer(TurnConsumer):
    """`POST /v1/chat/turns/<id>/stop`: the status first, the engine second."""

    action = Action.CHAT

    async def handle(self, body: bytes) -> None:
        status = await stop_turn(self.principal, self.turn_id)
        await self.send_json(202, {"turn_id": str(self.turn_id), "status": status})


async def start_turn(principal: Principal, wish: SendRequest) -> Admitted:
    """Admits a turn and starts it in this process; the earlier one for a repeated key."""
    with runner().slot(principal.tenant):
        admitted = await admit_turn(principal, wish)
        if admitted.job is not None:
            runner().start(admitted.job)
    return admitted


async def stop_turn(principal: Principal, turn_id: UUID) -> str:
    status = await in_tenant(principal.tenant, request_stop, principal=principal, turn_id=turn_id)
    runner().stop(turn_id)
    return status


async def sse_frames(batches: AsyncIterator[list[NumberedEvent]]) -> AsyncIterator[bytes]:
    """Server-sent events, a batch to a chunk; the last one is an error's where the stream is broken off."""
    try:
        async for batch in batches:
            yield b"".join(sse_frame(event) for event in batch)
    except (AccessEnded, ShuttingDown) as ended:
        yield end_frame(ended)


def end_frame(ended: DomainError) -> bytes:
    """The last frame of a stream that ends before its turn."""
    return moved_frame(ended) if isinstance(ended, ShuttingDown) else error_frame(ended)


def moved_frame(error: DomainError) -> bytes:
    """Asks the client to resume after a short pause, which differs between clients. It has no id."""
    pause = random.randint(*RESUME_MILLISECONDS)
    data = json.dumps({"turn_id": error.details.get("turn_id"), "text": error.message})
    return f"retry: {pause}\nevent: moved\ndata: {data}\n\n".encode()


def error_frame(error: DomainError) -> bytes:
    """An error that is no event of the turn, and so has no id."""
    shape = error.as_dict(request_origin.current().request_id)
    return f"event: error\ndata: {json.dumps({'error': shape})}\n\n".encode()


def sse_frame(event: NumberedEvent) -> bytes:
    data = json.dumps(event.data, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode()
