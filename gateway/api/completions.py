"""`POST /v1/chat/completions`: one metered call for OpenAI's clients, without a conversation or engine."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

from gateway.api.consumer_base import EdgeConsumer
from gateway.api.limit_headers import limit_headers
from gateway.api.openai_wire import error_body
from gateway.models import Turn
from gateway.providers.base import Notice, ReasoningDelta, TextDelta, ToolCallDelta
from gateway.providers.openai_chunks import DONE, Envelope, finish_reason_of, line, usage_of
from gateway.providers.tool_calls import merge_tool_calls
from gateway.turns.completion_request import CompletionRequest, CompletionSerializer
from gateway.turns.events import Done, Failed, NumberedEvent, Started, TurnEvent, UsageTotal
from gateway.turns.running_turn import RunningTurn, StopCause
from gateway.turns.services import start_completion
from kit.api import error_headers
from kit.body_validation import validated
from kit.errors import DomainError, TurnInterrupted, restore
from kit.http_consumer import ClientGone
from quotas.errors import QuotaExceeded

T = TypeVar("T")
BEFORE_THE_REPLY = (Started, Notice)  # a provider that is retried may still refuse


class CompletionsConsumer(EdgeConsumer):
    """Streams where `stream` is true; a client that leaves cancels the call."""

    async def handle(self, body: bytes) -> None:
        completion = self._parse(body)
        started = await start_completion(self.principal, completion)
        turn = started.turn
        self.response_headers |= limit_headers(started.limits)
        envelope = Envelope(turn.job.turn_id, int(time.time()), completion.model)
        try:
            if completion.stream:
                await self._stream(turn, envelope, include_usage=completion.include_usage)
            else:
                await self._send_whole(turn, envelope)
        finally:  # a client that leaves cancels the call; harmless once it has finished
            turn.stop(StopCause.CANCELLED)

    def _parse(self, body: bytes) -> CompletionRequest:
        raw = self.json_body(body)
        data = validated(CompletionSerializer, raw, ignores_unknown=True)  # `from_body` judges the others
        return CompletionRequest.from_body(raw, data)

    async def _stream(self, turn: RunningTurn, envelope: Envelope, *, include_usage: bool) -> None:
        """The first event decides the status: a refusal by the provider is an error, not a stream."""
        events = turn.follow(0)
        begun = await anext(events)
        while all(isinstance(each.event, BEFORE_THE_REPLY) for each in begun):
            begun = await self._or_gone(anext(events))
        failed = next((each.event for each in begun if isinstance(each.event, Failed)), None)
        if failed is not None and not any(isinstance(each.event, TextDelta) for each in begun):
            raise restore(failed.error)
        await self.send_stream(self._chunks(begun, events, envelope, include_usage))

    async def _chunks(
        self,
        begun: list[NumberedEvent],
        events: AsyncGenerator[list[NumberedEvent], None],
        envelope: Envelope,
        include_usage: bool,
    ) -> AsyncIterator[bytes]:
        yield line(envelope.chunk({"role": "assistant", "content": ""}))
        usage: dict[str, int] | None = None
        batch: list[NumberedEvent] | None = begun
        while batch is not None:
            for each in batch:
                if isinstance(each.event, UsageTotal):
                    usage = openai_usage(each.event)
                elif (chunk := _chunk_of(each.event, envelope, self.origin.request_id)) is not None:
                    yield chunk
            batch = await anext(events, None)
        if include_usage and usage is not None:
            yield line(envelope.usage_chunk(usage))
        yield DONE

    async def _send_whole(self, turn: RunningTurn, envelope: Envelope) -> None:
        texts, pieces, usage, reason = [], [], {}, ""
        for each in await self._or_gone(_collect(turn)):
            match each.event:
                case Failed(error):
                    raise restore(error)
                case TextDelta(text):
                    texts.append(text)
                case ToolCallDelta(calls):
                    pieces.append(calls)
                case UsageTotal():
                    usage = openai_usage(each.event)
                case Done(finish_reason):
                    reason = finish_reason_of(finish_reason)
        message = _message("".join(texts), merge_tool_calls(pieces))
        await self.send_json(200, envelope.whole(message, reason, usage))

    async def _or_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for `work`; ClientGone if the client leaves first."""
        task = asyncio.create_task(work)
        await asyncio.wait({task, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientGone
        return task.result()

    def cut_off_error(self) -> DomainError:
        """The call ends with its client's request, and does not continue elsewhere."""
        return TurnInterrupted()

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return line(error_body(error, self.origin.request_id)) + DONE

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        headers = error_headers(error)
        if isinstance(error, QuotaExceeded):
            headers["x-should-retry"] = "false"  # a retry cannot succeed before the budget's reset
        await self.send_json(error.status, error_body(error, self.origin.request_id), headers)


async def _collect(turn: RunningTurn) -> list[NumberedEvent]:
    return [event async for batch in turn.follow(0) for event in batch]


def openai_usage(total: UsageTotal) -> dict[str, int]:
    return usage_of(total.usage.input_tokens, total.usage.output_tokens)


def _message(text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    return {**message, "tool_calls": calls} if calls else message


def _chunk_of(event: TurnEvent, envelope: Envelope, request_id: str) -> bytes | None:
    match event:
        case TextDelta(text):
            return line(envelope.chunk({"content": text}))
        case ReasoningDelta(text):
            return line(envelope.chunk({"reasoning_content": text}))
        case ToolCallDelta(calls):
            return line(envelope.chunk({"tool_calls": calls}))
        case Failed(error):
            return line(error_body(restore(error), request_id))
        case Done(reason) if reason != Turn.FinishReason.ERROR:
            return line(envelope.chunk({}, finish_reason_of(reason)))
    return None
