"""`POST /v1/chat/completions`: one metered call for OpenAI's clients, without conversation or engine."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

from gateway.api.consumer_base import EdgeConsumer
from gateway.api.limit_headers import limit_headers
from gateway.api.openai_wire import error_body
from gateway.models import Turn
from gateway.providers.openai_chunks import DONE, Envelope, finish_reason_of, line, usage_of
from gateway.providers.tool_calls import merge_tool_calls
from gateway.turns.background import ensure_started
from gateway.turns.completion import OneCall, admit_completion
from gateway.turns.completion_request import CompletionRequest, CompletionSerializer
from gateway.turns.runner import RunningTurn, runner
from gateway.turns.transcript import NumberedEvent
from kit.api import error_headers
from kit.body_validation import validated
from kit.consumers import ClientGone
from kit.errors import DomainError, TurnInterrupted, restore
from quotas.errors import QuotaExceeded

T = TypeVar("T")
BEFORE_THE_REPLY = {"started", "notice"}  # a provider that is tried again may still refuse


class CompletionsConsumer(EdgeConsumer):
    """Streams where `stream` is true; a client that leaves cancels the call."""

    async def handle(self, body: bytes) -> None:
        ensure_started()
        wanted = self._parse(body)
        with runner().slot(self.principal.tenant):
            job, limits = await admit_completion(self.principal, wanted)
            self.told_headers |= limit_headers(limits)
            turn = runner().start(job, OneCall())
        envelope = Envelope(job.turn_id, int(time.time()), wanted.model)
        try:
            if wanted.stream:
                await self._stream(turn, envelope, include_usage=wanted.include_usage)
            else:
                await self._send_whole(turn, envelope)
        finally:  # a client that leaves cancels; a finished call takes no harm
            runner().stop(job.turn_id)

    def _parse(self, body: bytes) -> CompletionRequest:
        raw = self.json_body(body)
        data = validated(CompletionSerializer, raw, ignores_unknown=True)  # `from_body` judges the others
        return CompletionRequest.from_body(raw, data)

    async def _stream(self, turn: RunningTurn, envelope: Envelope, *, include_usage: bool) -> None:
        """The first event decides about the status: a provider that refuses is an error, not a stream."""
        events = turn.follow(0)
        begun = await anext(events)
        while all(event.type in BEFORE_THE_REPLY for event in begun):
            begun = await self._or_gone(anext(events))
        refusal = next((event.data["error"] for event in begun if event.type == "error"), None)
        if refusal is not None and not any(event.type == "delta" for event in begun):
            raise restore(refusal)
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
            for event in batch:
                if event.type == "usage":
                    usage = usage_told(event.data)
                elif (chunk := _chunk_of(event, envelope, self.origin.request_id)) is not None:
                    yield chunk
            batch = await anext(events, None)
        if include_usage and usage is not None:
            yield line(envelope.usage_chunk(usage))
        yield DONE

    async def _send_whole(self, turn: RunningTurn, envelope: Envelope) -> None:
        events = await self._or_gone(_collect(turn))
        by_type = {event.type: event.data for event in events}
        if "error" in by_type:
            raise restore(by_type["error"]["error"])
        calls = merge_tool_calls([event.data["calls"] for event in events if event.type == "tool_calls"])
        text = "".join(event.data["text"] for event in events if event.type == "delta")
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        reason = finish_reason_of(by_type["done"]["finish_reason"])
        await self.send_json(200, envelope.whole(message, reason, usage_told(by_type["usage"])))

    async def _or_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for work or for the client to leave, whichever is first."""
        task = asyncio.create_task(work)
        await asyncio.wait({task, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientGone
        return task.result()

    def cut_off_error(self) -> DomainError:
        """The call ends with its client's request: it goes on nowhere."""
        return TurnInterrupted()

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return line(error_body(error, self.origin.request_id)) + DONE

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        headers = error_headers(error)
        if isinstance(error, QuotaExceeded):
            headers["x-should-retry"] = "false"  # it will not help before the budget's reset
        await self.send_json(error.status, error_body(error, self.origin.request_id), headers)


async def _collect(turn: RunningTurn) -> list[NumberedEvent]:
    return [event async for batch in turn.follow(0) for event in batch]


def usage_told(usage: dict[str, Any]) -> dict[str, int]:
    """Our `usage` event as OpenAI's."""
    return usage_of(usage["input_tokens"], usage["output_tokens"])


def _chunk_of(event: NumberedEvent, envelope: Envelope, request_id: str) -> bytes | None:
    match event.type:
        case "delta":
            return line(envelope.chunk({"content": event.data["text"]}))
        case "reasoning":
            return line(envelope.chunk({"reasoning_content": event.data["text"]}))
        case "tool_calls":
            return line(envelope.chunk({"tool_calls": event.data["calls"]}))
        case "error":
            return line(error_body(restore(event.data["error"]), request_id))
        case "done" if event.data["finish_reason"] != Turn.FinishReason.ERROR:
            return line(envelope.chunk({}, finish_reason_of(event.data["finish_reason"])))
    return None
