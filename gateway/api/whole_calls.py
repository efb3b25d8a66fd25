"""The base of the routes whose answer arrives whole, such as embeddings, in OpenAI's wire format."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from gateway.api.compatible_base import CompatibleConsumer
from gateway.api.limit_headers import limit_headers
from gateway.api.openai_wire import error_body, wire_status
from gateway.providers.base import JsonObject
from gateway.turns.embedding_request import check_structure
from gateway.turns.events import Failed, UsageTotal
from gateway.turns.kept_answer import RequestKey, keep_answer, kept_answer
from gateway.turns.requests import checked_key
from gateway.turns.running_turn import RunningTurn, StopCause
from gateway.turns.services import StartedCall
from kit.errors import DomainError, TurnInterrupted, restore
from kit.http_consumer import ClientGone
from quotas.prices import Usage

T = TypeVar("T")
Write = Callable[[Any, Usage], AsyncIterator[bytes]]  # an answer as the pieces of a response
_keeping: set["asyncio.Task[list[bytes]]"] = set()


class WholeCallConsumer(CompatibleConsumer):
    """A client that leaves cancels its call, unless it sent an Idempotency-Key."""

    async def handle(self, body: bytes) -> None:
        """With an Idempotency-Key, the call continues when its client leaves, and its answer is kept."""
        check_structure(body)
        key = RequestKey.of(checked_key(self.header.get("idempotency-key")), body)
        kept = await kept_answer(self.principal, key) if key else None
        if kept is not None:
            await self._send_pieces(_once(kept))
            return
        started, write = await self.start(self.json_body(body), key)
        self.response_headers |= limit_headers(started.limits)
        if key:
            answering = asyncio.create_task(self._keep(started, write, key))
            _keeping.add(answering)
            answering.add_done_callback(_keeping.discard)
            pieces = _each(await self.or_gone(asyncio.shield(answering)))
        else:
            try:
                pieces = write(*await self.or_gone(_answer_of(started)))
            finally:  # harmless once it has finished
                started.turn.stop(StopCause.CANCELLED)
        await self._send_pieces(pieces)

    @abstractmethod
    async def start(self, body: dict[str, Any], key: RequestKey | None) -> tuple[StartedCall, Write]:
        """Validates and starts the call; also returns how its answer is written. Raises the refusal."""

    def wire_error(self, error: DomainError) -> tuple[int, JsonObject]:
        return wire_status(error), error_body(error, self.origin.request_id)

    async def _keep(self, started: StartedCall, write: Write, key: RequestKey) -> list[bytes]:
        pieces = [piece async for piece in write(*await _answer_of(started))]
        await keep_answer(self.principal, key, pieces)
        return pieces

    async def _send_pieces(self, pieces: AsyncIterator[bytes]) -> None:
        """Sends the JSON in pieces: turning millions of numbers into text takes seconds."""
        await self.send_start(200, {"Content-Type": "application/json"})
        async for piece in pieces:
            if self.gone.done():
                raise ClientGone
            await self.send_body(piece, more_body=True)
        await self.send_body(b"")


async def _answer_of(started: StartedCall) -> tuple[Any, Usage]:
    """The provider's answer, and the call's usage in the ledger. Raises the turn's error."""
    usage = await _usage_of(started.turn)
    if started.engine.answer is None:  # stopped by someone else
        raise TurnInterrupted
    return started.engine.answer, usage


async def _once(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _usage_of(turn: RunningTurn) -> Usage:
    """Follows the turn to its end. Raises its error."""
    usage = Usage(0, 0)
    async for batch in turn.follow(0):
        for each in batch:
            match each.event:
                case Failed(error):
                    raise restore(error)
                case UsageTotal():
                    usage = each.event.usage
    return usage
