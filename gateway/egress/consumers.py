"""What engines call, on a port that is never published: the routed model call, and the list of its one model.

An engine's client repeats 408, 422 and 5xx for minutes, so it gets none of those: whatever can be decided is
decided before the headers, and what goes wrong later is a line in the stream.
"""

import asyncio
import hmac
from contextlib import aclosing
from typing import ClassVar

from django.conf import settings

from gateway.egress.answers import answer_of, merged
from gateway.egress.calls import RunningCall, running_calls
from gateway.egress.notices import notify_repeat
from gateway.egress.routed_requests import ROUTED, RoutedRequest
from gateway.egress.turns import CallerIds, RoutedTurn, find_turn
from kit.consumers import ClientGone, HttpConsumer
from kit.errors import DomainError, NotAuthenticated, NotFound, QuotaExceeded, TurnInterrupted
from kit.tenancy import in_public
from quotas.holds import is_under_way

ALLOWED = {400, 401, 402, 403, 404, 409}


class EngineConsumer(HttpConsumer):
    """Lets engines in by a shared secret, of which two are valid while it is changed."""

    ping_seconds: ClassVar[float] = 5.0

    @property
    def most_bytes(self) -> int:
        most: int = settings.EGRESS_MAX_BODY_BYTES
        return most

    async def admit(self, body: bytes) -> None:
        sent = self.header.get("authorization", "").removeprefix("Bearer ").encode()
        if not any(hmac.compare_digest(sent, secret.encode()) for secret in settings.EGRESS_SECRETS):
            raise NotAuthenticated

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        await self.send_json(engine_status(error), self.error_body(error))


class RoutedModelsConsumer(EngineConsumer):
    """`GET /v1/models`: the one that stands for all."""

    method: ClassVar[str] = "GET"

    async def handle(self, body: bytes) -> None:
        model = {"id": ROUTED, "object": "model", "created": 0, "owned_by": "switchyard"}
        await self.send_json(200, {"object": "list", "data": [model]})


class HealthConsumer(HttpConsumer):
    """`GET /healthz`: whether the process lives."""

    method: ClassVar[str] = "GET"

    async def handle(self, body: bytes) -> None:
        await self.send_json(200, {"status": "ok"})


class NothingHereConsumer(HttpConsumer):
    """Every other address."""

    async def handle(self, body: bytes) -> None:
        raise NotFound

    async def send_error(self, error: DomainError) -> None:
        await super().send_error(NotFound())


class RoutedCallConsumer(EngineConsumer):
    """`POST /v1/chat/completions`: one metered call of a running turn."""

    async def handle(self, body: bytes) -> None:
        wanted = RoutedRequest.from_body(self.json_body(body))
        turn = await find_turn(CallerIds.from_headers(self.header))
        with running_calls().running(turn.turn_id, wanted.fingerprint) as call:
            await _end_older_attempts(call)
            try:
                await self._answer_call(turn, call, wanted)
            except asyncio.CancelledError:
                if not call.was_ended:
                    raise
                raise ClientGone from None  # the turn is over: whoever still listens hears nothing more

    async def _answer_call(self, turn: RoutedTurn, call: RunningCall, wanted: RoutedRequest) -> None:
        async with aclosing(answer_of(turn, call, wanted)) as pieces:
            await anext(pieces)  # held, or refused with a status
            if wanted.stream:
                await self.send_stream(pieces)
            else:
                await self.send_json(200, merged([piece async for piece in pieces]))


async def _end_older_attempts(call: RunningCall) -> None:
    """An engine that repeats a request has lost the first answer: that one is ended and settled."""
    running_calls().end_older(call.turn_id, call.fingerprint, call.attempt)
    if await in_public(is_under_way, turn_id=call.turn_id, fingerprint=call.fingerprint):
        await in_public(notify_repeat, call.turn_id, call.fingerprint, call.attempt)


def engine_status(error: DomainError) -> int:
    """An error's status as engines get it: none that they would repeat the call for."""
    if isinstance(error, QuotaExceeded):
        return 402
    if isinstance(error, TurnInterrupted):
        return 409
    return error.status if error.status in ALLOWED else 400
