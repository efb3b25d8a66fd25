"""`POST /v1/chat/completions`: one metered call for OpenAI's clients, without a conversation or engine."""

import time

from gateway.api.model_calls import ModelCallConsumer, ReplyWriter, joined_extras
from gateway.api.openai_wire import completion_usage, error_body, wire_status
from gateway.models import Turn
from gateway.providers import reasoning_details
from gateway.providers.base import (
    Answering,
    Extra,
    JsonObject,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.providers.openai_chunks import DONE, Envelope, finish_reason_of, line
from gateway.providers.tool_calls import merge_tool_calls
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.events import Done, TurnEvent, UsageTotal
from gateway.turns.services import StartedCompletion
from kit.errors import DomainError


class CompletionsConsumer(ModelCallConsumer):
    def parse(self, body: bytes) -> CompletionRequest:
        return CompletionRequest.from_body(self.json_body(body))

    def writer(self, started: StartedCompletion, completion: CompletionRequest) -> ReplyWriter:
        envelope = Envelope(started.turn_id, int(time.time()), completion.model)
        return CompletionWriter(envelope, include_usage=completion.include_usage)

    def wire_error(self, error: DomainError) -> tuple[int, JsonObject]:
        return wire_status(error), error_body(error, self.origin.request_id)

    def error_chunk(self, error: DomainError) -> bytes:
        return line(error_body(error, self.origin.request_id))

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return self.error_chunk(error) + DONE


class CompletionWriter(ReplyWriter):
    """OpenAI's chunks. Reasoning has the name that DeepSeek and vLLM gave it, `reasoning_content`."""

    def __init__(self, envelope: Envelope, *, include_usage: bool) -> None:
        self._envelope = envelope
        self._includes_usage = include_usage
        self._usage = b""

    def begin(self) -> bytes:
        return line(self._envelope.chunk({"role": "assistant", "content": ""}))

    def write(self, event: TurnEvent) -> bytes:
        match event:
            case Answering(model):
                self._envelope = self._envelope.answered_by(model)
            case UsageTotal(usage):
                self._usage = line(self._envelope.usage_chunk(completion_usage(usage)))
            case Done(reason) if reason != Turn.FinishReason.ERROR:
                return line(self._envelope.chunk({}, finish_reason=finish_reason_of(reason)))
            case Extra():
                return line(self._extra_chunk(event))
            case _ if delta := _delta_of(event):
                return line(self._envelope.chunk(delta))
        return b""

    def _extra_chunk(self, extra: Extra) -> JsonObject:
        field = {extra.name: extra.value}
        match extra.place:
            case "message":
                return self._envelope.chunk(field)
            case "choice":
                return self._envelope.chunk({}, **field)
            case _:
                return {**self._envelope.chunk({}), **field}

    def end(self) -> bytes:
        return (self._usage if self._includes_usage else b"") + DONE

    def whole(self, events: list[TurnEvent]) -> JsonObject:
        envelope, reason, usage = self._envelope, "stop", {}
        for event in events:
            match event:
                case Answering(model):
                    envelope = envelope.answered_by(model)
                case Done(finish_reason):
                    reason = finish_reason_of(finish_reason)
                case UsageTotal(total):
                    usage = completion_usage(total)
        choice = {"message": message_of(events), "finish_reason": reason, **joined_extras(events, "choice")}
        return {**envelope.whole(choice, usage), **joined_extras(events, "answer")}


def _delta_of(event: TurnEvent) -> JsonObject:
    """Empty for an event that is no part of the message."""
    match event:
        case TextDelta(text):
            return {"content": text}
        case ReasoningDelta(text):
            return {"reasoning_content": text}
        case RefusalDelta(text):
            return {"refusal": text}
        case ToolCallDelta(calls):
            return {"tool_calls": calls}
    return {}


def message_of(events: list[TurnEvent]) -> JsonObject:
    """The assistant's message, which a client can send back as it is."""
    text, reasoning, refusal = (
        "".join(event.text for event in events if isinstance(event, kind))
        for kind in (TextDelta, ReasoningDelta, RefusalDelta)
    )
    calls = merge_tool_calls(event.calls for event in events if isinstance(event, ToolCallDelta))
    extras = joined_extras(events, "message")
    if details := extras.get(reasoning_details.NAME):
        extras[reasoning_details.NAME] = reasoning_details.join_details([details])
    return {
        "role": "assistant",
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal or None,
        **({"reasoning_content": reasoning} if reasoning else {}),
        **({"tool_calls": calls} if calls else {}),
        **extras,
    }
