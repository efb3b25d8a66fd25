"""The base of the routes that answer one model call in another API's wire format, streamed or whole.

A subclass translates: its request to a CompletionRequest, the reply's events by a ReplyWriter, and errors.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar

from gateway.api.compatible_base import CompatibleConsumer
from gateway.api.limit_headers import limit_headers
from gateway.providers.base import Answering, Extra, JsonObject, Notice
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.events import Failed, NumberedEvent, Started, TurnEvent, UsageTotal
from gateway.turns.requests import checked_key
from gateway.turns.services import StartedCompletion, start_completion
from kit.errors import DomainError, restore
from kit.http_consumer import ClientGone
from quotas.prices import MILLION, Usage

T = TypeVar("T")
Batch = list[NumberedEvent]
LARGE_BODY = 256 * 1024  # bytes: checking one takes some 10 ms
GROWING = {"data", "transcript"}  # texts of a reply's audio
BEFORE_THE_REPLY = (Started, Notice, Answering)  # a provider that is retried may still refuse


class ReplyWriter(ABC):
    """Writes one reply in a wire format, either as the chunks of a stream or whole."""

    @abstractmethod
    def begin(self) -> bytes:
        """The first chunk, before anything of the reply is known; may be empty."""

    @abstractmethod
    def write(self, event: TurnEvent) -> bytes:
        """The chunks of one event, Failed and Done included; empty if it has none."""

    @abstractmethod
    def end(self) -> bytes:
        """The last chunk; also after a failure."""

    @abstractmethod
    def whole(self, events: list[TurnEvent]) -> JsonObject:
        """The complete reply, from the events of a turn without a failure."""


class ModelCallConsumer(CompatibleConsumer):
    """Streams where the request says so; a client that leaves cancels the call unless it sent an
    Idempotency-Key, with which it can ask for the reply again."""

    @abstractmethod
    def parse(self, body: bytes) -> CompletionRequest:
        """The request; InvalidInput names the invalid fields."""

    async def read(self, body: bytes) -> CompletionRequest:
        """Likewise, for a request that refers to something stored."""
        return await by_size(len(body), partial(self.parse, body))

    @abstractmethod
    def writer(self, started: StartedCompletion, completion: CompletionRequest) -> ReplyWriter: ...

    @abstractmethod
    def error_chunk(self, error: DomainError) -> bytes:
        """An error as a chunk of a stream."""

    async def handle(self, body: bytes) -> None:
        completion = await self.read(body)
        key = checked_key(self.header.get("idempotency-key"))
        started = await start_completion(self.principal, completion, idempotency_key=key)
        self.response_headers |= limit_headers(started.limits) | lowered_bound(started, completion)
        writer = self.writer(started, completion)
        try:
            async with aclosing(started.follow()) as batches:
                if completion.stream:
                    await self._stream(batches, writer)
                else:
                    await self._send_whole(batches, writer)
        finally:
            if not key:
                started.cancel()  # harmless once it has finished

    async def _stream(self, batches: AsyncIterator[Batch], writer: ReplyWriter) -> None:
        """The first event decides the status: a refusal by the provider is an error, not a stream.

        If no event arrives for a while, the stream begins anyway, since clients and proxies give up on a
        silent connection; a refusal then is a chunk.
        """
        beginning = asyncio.ensure_future(_until_decided(batches))
        try:
            await asyncio.wait(
                {beginning, self.gone}, timeout=self.ping_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if self.gone.done():
                raise ClientGone
            if beginning.done():
                self._judge(beginning.result())
            await self.send_stream(self._chunks(beginning, batches, writer))
        finally:
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)

    def _judge(self, begun: Batch) -> None:
        """Raises the refusal if the reply begins with one; else records which model answers."""
        for each in begun:
            match each.event:
                case Failed(error):
                    raise restore(error)
                case Answering():
                    self.response_headers |= answer_headers(each.event)
                case event if not isinstance(event, BEFORE_THE_REPLY):
                    return

    async def _chunks(
        self, beginning: "asyncio.Future[Batch]", batches: AsyncIterator[Batch], writer: ReplyWriter
    ) -> AsyncIterator[bytes]:
        if first := writer.begin():
            yield first
        batch: Batch | None = await beginning
        while batch is not None:
            if chunk := b"".join(self._write(writer, each.event) for each in batch):
                yield chunk
            batch = await anext(batches, None)
        yield writer.end()

    def _write(self, writer: ReplyWriter, event: TurnEvent) -> bytes:
        if isinstance(event, Failed):
            return self.error_chunk(restore(event.error))
        return writer.write(event)

    async def _send_whole(self, batches: AsyncIterator[Batch], writer: ReplyWriter) -> None:
        events = await self.or_gone(_collect(batches))
        for event in events:
            match event:
                case Failed(error):
                    raise restore(error)
                case UsageTotal(usage):
                    self.response_headers |= usage_headers(usage)
        await self.send_json(200, writer.whole(events))

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return self.error_chunk(error)


async def by_size(size: int, work: Callable[[], T]) -> T:
    """The result of checking a body of this many bytes; a large one is checked in a thread."""
    return await asyncio.to_thread(work) if size > LARGE_BODY else work()


def lowered_bound(started: StartedCompletion, completion: CompletionRequest) -> dict[str, str]:
    """The model's output bound, if the request asked for more and was lowered to it."""
    highest = started.running.job.model.output_bound if started.running else None
    if highest is None or completion.max_tokens is None or highest >= completion.max_tokens:
        return {}
    return {"x-switchyard-max-tokens": str(highest)}


def usage_headers(usage: Usage) -> dict[str, str]:
    """The model of the last call, and the cost in the price list's currency if it is known."""
    cost = {} if usage.cost is None else {"x-switchyard-cost": f"{usage.cost / MILLION:.6f}"}
    if not usage.calls:
        return cost
    last = usage.calls[-1]
    return {**answer_headers(Answering(last.model, last.provider, last.id)), **cost}


def answer_headers(answering: Answering) -> dict[str, str]:
    """The model that answered: the requested one, or a fallback."""
    return {
        "x-switchyard-model": answering.model,
        "x-switchyard-provider": answering.provider,
        "x-switchyard-call-id": answering.call_id,
    }


def joined_extras(events: list[TurnEvent], place: str) -> JsonObject:
    """The fields that a whole answer's `place` has besides ours; lists of several events are joined."""
    found: JsonObject = {}
    for event in events:
        if isinstance(event, Extra) and event.place == place:
            found[event.name] = joined(found.get(event.name), event.value)
    return found


def joined(before: Any, value: Any) -> Any:
    """Two pieces of one field: lists follow each other, objects are joined by field, else the later one.

    A list that begins with all earlier values is the field so far. Extends what it returned before, since a
    stream may have a piece for each token.
    """
    if isinstance(before, list) and isinstance(value, list) and value[: len(before)] != before:
        before.extend(value)
        return before
    if isinstance(before, dict) and isinstance(value, dict):
        for name, inner in value.items():
            known = before.get(name)
            if name in GROWING and isinstance(known, str) and isinstance(inner, str):
                before[name] = known + inner
            else:
                before[name] = joined(known, inner)
        return before
    return before if value is None else deepcopy(value)


async def _until_decided(batches: AsyncIterator[Batch]) -> Batch:
    """The events up to the first that belongs to the reply, or ends it."""
    begun: Batch = []
    async for batch in batches:
        begun += batch
        if not all(isinstance(each.event, BEFORE_THE_REPLY) for each in batch):
            break
    return begun


async def _collect(batches: AsyncIterator[Batch]) -> list[TurnEvent]:
    return [each.event async for batch in batches for each in batch]
