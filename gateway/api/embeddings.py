"""`POST /v1/embeddings`: one metered call for OpenAI's clients.

Protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.conf import settings

from gateway.api.consumer_base import EdgeConsumer
from gateway.api.limit_headers import limit_headers
from gateway.api.openai_wire import error_body, wire_status
from gateway.models import Turn
from gateway.providers.embeddings import BASE64, Embeddings, Vector, as_base64, as_floats
from gateway.turns.embedding_request import EmbeddingCall, EmbeddingSerializer, check_structure
from gateway.turns.events import Failed, UsageTotal
from gateway.turns.kept_answer import RequestKey, keep_answer, kept_answer
from gateway.turns.requests import checked_key
from gateway.turns.running_turn import RunningTurn, StopCause
from gateway.turns.services import StartedCall, start_call
from kit.api import error_headers
from kit.body_validation import validated
from kit.errors import DomainError, TurnInterrupted, restore
from kit.http_consumer import ClientGone
from quotas.errors import QuotaExceeded
from quotas.prices import Usage

T = TypeVar("T")
Write = Callable[[Any, Usage], AsyncIterator[bytes]]  # an answer as the pieces of a response
_keeping: set["asyncio.Task[list[bytes]]"] = set()
FAIR_BYTES = 64 * 1024  # of a response, after which other tasks may run


class WholeCallConsumer(EdgeConsumer):
    """A call whose answer comes as a whole, with a completion's errors; a client that leaves cancels it."""

    admits_first: ClassVar[bool] = True

    @property
    def most_bytes(self) -> int:
        most: int = settings.MODEL_CALL_MAX_BODY_BYTES
        return most

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
            pieces = _each(await self._or_gone(asyncio.shield(answering)))
        else:
            try:
                pieces = write(*await self._or_gone(_answer_of(started)))
            finally:  # harmless once it has finished
                started.turn.stop(StopCause.CANCELLED)
        await self._send_pieces(pieces)

    async def start(self, body: dict[str, Any], key: RequestKey | None) -> tuple[StartedCall, Write]:
        """Validates and starts the call; also how its answer is written. Raises the refusal."""
        raise NotImplementedError

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

    async def _or_gone(self, work: Awaitable[T]) -> T:
        """Waits for `work`; ClientGone if the client leaves first."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientGone
        return task.result()

    def cut_off_error(self) -> DomainError:
        """The call ends with its client's request, and does not continue elsewhere."""
        return TurnInterrupted()

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        headers = error_headers(error)
        if isinstance(error, QuotaExceeded):
            headers["x-should-retry"] = "false"  # a retry cannot succeed before the budget's reset
        await self.send_json(wire_status(error), error_body(error, self.origin.request_id), headers)


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


class EmbeddingsConsumer(WholeCallConsumer):
    async def start(self, body: dict[str, Any], key: RequestKey | None) -> tuple[StartedCall, Write]:
        data = validated(EmbeddingSerializer, body, ignores_unknown=True)  # others are passed on
        call = EmbeddingCall.from_body(body, data)
        return await start_call(self.principal, Turn.Kind.EMBEDDING, call, key), partial(_pieces, call)


async def _pieces(call: EmbeddingCall, embeddings: Embeddings, usage: Usage) -> AsyncIterator[bytes]:
    """The response in OpenAI's format."""
    encode: Callable[[Vector], Any] = as_base64 if call.encoding_format == BASE64 else as_floats
    piece = '{"object": "list", "data": ['
    for at, vector in enumerate(embeddings.vectors):
        item = {"object": "embedding", "index": at, "embedding": encode(vector)}
        piece += f"{', ' if at else ''}{json.dumps(item)}"
        if len(piece) > FAIR_BYTES:
            yield piece.encode()
            piece = ""
            await asyncio.sleep(0)
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    yield f'{piece}], "model": {json.dumps(call.model)}, "usage": {json.dumps(counts)}}}'.encode()
