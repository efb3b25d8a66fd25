"""The endpoints for engines, on a port that is never published: the routed model call and its list of models.

An engine's client repeats 408, 422 and 5xx for minutes, so it gets none of those: refusals are decided before
the headers, and a later failure is a line in the stream.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

from django.conf import settings

from gateway.calls.channels import notify_repeat
from gateway.egress.check_model import check_answer, find_check
from gateway.egress.routed_answers import answer_of, merged
from gateway.egress.routed_calls import RunningCall, running_calls
from gateway.egress.routed_requests import ROUTED, RoutedRequest
from gateway.egress.turn_lookup import CallerIds, find_turn
from kit.errors import DomainError, NotAuthenticated, NotFound, RateLimited, TurnInterrupted
from kit.http_consumer import ClientGone, HttpConsumer
from kit.tenancy import in_public
from quotas.errors import QuotaExceeded
from quotas.holds import is_under_way

ALLOWED = {400, 401, 402, 403, 404, 409}


class EngineConsumer(HttpConsumer):
    """Authenticates engines by a shared secret; two are valid while it is being changed."""

    ping_seconds: ClassVar[float] = 5.0

    @property
    def most_bytes(self) -> int:
        most: int = settings.EGRESS_MAX_BODY_BYTES
        return most

    async def admit(self, body: bytes) -> None:
        sent = self.header.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        if not any(hmac.compare_digest(sent, secret.encode()) for secret in settings.EGRESS_SECRETS):
            raise NotAuthenticated

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        await self.send_json(engine_status(error), self.error_body(error))


class RoutedModelsConsumer(EngineConsumer):
    """`GET /v1/models`: the one model behind which the gateway chooses."""

    method: ClassVar[str] = "GET"

    async def handle(self, body: bytes) -> None:
        model = {"id": ROUTED, "object": "model", "created": 0, "owned_by": "switchyard"}
        await self.send_json(200, {"object": "list", "data": [model]})


class HealthConsumer(HttpConsumer):
    """`GET /healthz`: whether the process is alive."""

    method: ClassVar[str] = "GET"

    async def handle(self, body: bytes) -> None:
        await self.send_json(200, {"status": "ok"})


class NotFoundConsumer(HttpConsumer):
    """Every other URL."""

    async def handle(self, body: bytes) -> None:
        raise NotFound

    async def send_error(self, error: DomainError) -> None:
        await super().send_error(NotFound())


class RoutedCallConsumer(EngineConsumer):
    """`POST /v1/chat/completions`: one metered call of a running turn."""

    async def handle(self, body: bytes) -> None:
        wanted = RoutedRequest.from_body(self.json_body(body))
        try:
            ids = CallerIds.from_headers(self.header)
            # Registered before its turn is read, so that a stop in between finds the call.
            with running_calls().running(ids.turn_id, wanted.fingerprint) as call:
                await self._answer_turn(ids, call, wanted)
        except NotFound:
            check_id = await find_check(self.header)
            await self._answer_call(check_answer(check_id, wanted), wanted)

    async def _answer_turn(self, ids: CallerIds, call: RunningCall, wanted: RoutedRequest) -> None:
        try:
            turn = await find_turn(ids)
            await _end_older_attempts(call)
            await self._answer_call(answer_of(turn, call, wanted), wanted)
        except asyncio.CancelledError:
            if not call.was_ended:
                raise
            # Becomes a status if none was sent; a stream ends without another event.
            raise TurnInterrupted("The turn was stopped, or its call repeated.") from None

    async def _answer_call(self, lines: AsyncGenerator[bytes, None], wanted: RoutedRequest) -> None:
        async with aclosing(lines) as pieces:
            await anext(pieces)  # held, or refused with a status
            if wanted.stream:
                await self.send_stream(pieces)
            else:
                answer = await self._whole(pieces)
                await self.send_json(400 if "error" in answer else 200, answer)

    async def _whole(self, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """The whole response; ClientGone as soon as the client has left."""
        return merged(await self.or_gone(_read(pieces)))


async def _read(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


async def _end_older_attempts(call: RunningCall) -> None:
    """An engine that repeats a request has lost the first response, so that call is ended and settled."""
    running_calls().end_older(call.turn_id, call.fingerprint, call.attempt)
    if await in_public(is_under_way, turn_id=call.turn_id, fingerprint=call.fingerprint):
        await in_public(notify_repeat, call.turn_id, call.fingerprint, call.attempt)


def engine_status(error: DomainError) -> int:
    """The status that engines get for an error: never one for which they would repeat the call."""
    if isinstance(error, QuotaExceeded | RateLimited):
        return 402
    if isinstance(error, TurnInterrupted):
        return 409
    return error.status if error.status in ALLOWED else 400
