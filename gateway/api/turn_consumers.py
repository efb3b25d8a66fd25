"""The chat routes as Channels consumers: send, explain, follow, stop."""

from typing import ClassVar
from uuid import UUID

from django.conf import settings

from accounts.policy import Action
from gateway.api.consumer_base import EdgeConsumer
from gateway.api.event_frames import moved_frame, sse_frames, turn_result
from gateway.api.limit_headers import limit_headers
from gateway.api.model_calls import usage_headers
from gateway.turns.event_stream import MOVED, follow_turn, read_turn
from gateway.turns.events import Failed, UsageTotal
from gateway.turns.explain import explain_turn
from gateway.turns.requests import SendRequest
from gateway.turns.services import start_turn, stop_turn
from kit.content_negotiation import prefers_stream
from kit.errors import DomainError, InvalidInput, ShuttingDown, restore
from kit.tenancy import in_tenant

LARGEST_ID = 2**53  # that JavaScript represents exactly
LONGEST_ID = 16  # digits


class TurnConsumer(EdgeConsumer):
    """Shared by the routes of a turn."""

    followed_id: UUID | None = None  # the turn whose end the client waits for

    async def begin_turn(self, body: bytes) -> UUID:
        """Validates and starts a turn, which then runs independently of this socket."""
        key = self.header.get("idempotency-key")
        admitted = await start_turn(
            self.principal, SendRequest.parse(self.json_body(body), idempotency_key=key)
        )
        self.response_headers |= limit_headers(admitted.limits)
        return admitted.turn_id

    @property
    def turn_id(self) -> UUID:
        turn_id: UUID = self.scope["url_route"]["kwargs"]["turn_id"]
        return turn_id

    def last_event_id(self) -> int:
        """The last event that the client received; 0 for none."""
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
        return prefers_stream(self.header.get("accept", ""))

    async def stream_turn(self, turn_id: UUID, after: int = 0) -> None:
        self.followed_id = turn_id
        await self.send_stream(sse_frames(follow_turn(self.principal, turn_id, after)))


class MessageConsumer(TurnConsumer):
    """Takes a message as long as a model's window, and authenticates before it is stored."""

    admits_first: ClassVar[bool] = True

    @property
    def most_bytes(self) -> int:
        most: int = settings.MODEL_CALL_MAX_BODY_BYTES
        return most


class SendConsumer(MessageConsumer):
    """`POST /v1/chat/send`: a stream if the client accepts one, else one JSON at the end."""

    async def handle(self, body: bytes) -> None:
        turn_id = await self.begin_turn(body)
        if self.wants_stream:
            await self.stream_turn(turn_id)
        else:
            await self._send_result(turn_id)

    async def _send_result(self, turn_id: UUID) -> None:
        self.followed_id = turn_id
        events = [event async for batch in follow_turn(self.principal, turn_id) for event in batch]
        result = turn_result(events)
        self.response_headers |= next(
            (usage_headers(each.event.usage) for each in events if isinstance(each.event, UsageTotal)), {}
        )
        failed = next((each.event for each in events if isinstance(each.event, Failed)), None)
        if failed is None:
            await self.send_json(200, result)
            return
        error = restore(failed.error)
        error.details |= result
        await self.send_error(error)


class ExplainConsumer(MessageConsumer):
    """`POST /v1/chat/explain`: the decision that send would make, with its reasons; nothing runs."""

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
