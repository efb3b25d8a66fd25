"""One metered call as OpenAI's chunks for an engine; its end is stored with the turn before it is sent."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.calls.call_images import filled, placed
from gateway.calls.metered import Held, MeteredEvent, metered_call
from gateway.calls.own_branch import note_restored
from gateway.egress.history_repair import completed, repaired
from gateway.egress.replayed_fields import ReplayedFields, with_fields
from gateway.egress.routed_calls import RunningCall
from gateway.egress.routed_requests import ROUTED, RoutedRequest
from gateway.egress.routed_tools import hold_calls
from gateway.egress.shown_extras import ShownExtras
from gateway.egress.turn_lookup import RoutedTurn, note_end, note_replayed
from gateway.engines.librechat.placeholders import with_placeholders
from gateway.errors import ProviderError
from gateway.providers.base import (
    Finish,
    JsonObject,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    has_images,
)
from gateway.providers.openai_chunks import DONE, Envelope, line, usage_of
from gateway.providers.registry import provider_for
from gateway.providers.tool_calls import merge_tool_calls
from kit.errors import DomainError, InternalError
from kit.postgresql.failures import database_failure
from kit.tenancy import in_tenant
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef, able_chain, needed_abilities

Ability = LanguageModel.Ability
log = structlog.get_logger(__name__)


async def answer_of(
    turn: RoutedTurn, call: RunningCall, wanted: RoutedRequest
) -> AsyncGenerator[bytes, None]:
    """Server-sent lines; the first, empty one means that the call is held.

    An earlier refusal is raised, so that it gets its own status; a later failure is a line in the stream.
    """
    envelope = Envelope(call.attempt, int(time.time()), ROUTED)
    is_held, usage, finish = False, b"", Finish("stop")
    pieces: list[list[JsonObject]] = []  # of tool calls, which the engine gets whole
    replayed, shown = ReplayedFields(), ShownExtras()
    try:
        async with aclosing(_events(turn, call, wanted)) as events:
            async for event in events:
                replayed.take_in(event)
                shown.take_in(event)
                if isinstance(event, Held):
                    if not is_held:
                        yield b""
                        yield line(envelope.chunk({"role": "assistant", "content": ""}))
                    is_held = True
                elif isinstance(event, UsageReport):
                    usage = line(envelope.usage_chunk(usage_of(event.input_tokens, event.output_tokens)))
                elif isinstance(event, Finish):
                    finish = event
                elif isinstance(event, ToolCallDelta):
                    pieces.append(event.calls)
                elif (chunk := _line_of(event, envelope)) is not None:
                    yield chunk
        # The call is settled by now, so nothing stays held while a person decides.
        if calls := merge_tool_calls(pieces) if finish.reason != "length" else []:
            held = await _held(turn, calls)
            if (entry := replayed.entry(held)) is not None:
                await note_replayed(turn, entry)
            yield line(envelope.chunk({"tool_calls": held}))
        await shown.note(turn)
        await note_end(turn, finish_reason=finish.reason)
        yield line(envelope.chunk({}, finish_reason=finish.reason)) + usage
        yield DONE
    except DomainError as error:
        await note_end(turn, error=error)
        if not is_held:
            raise
        yield line({"error": {"message": error.text, "type": "api_error", "code": error.code}})


async def _events(
    turn: RoutedTurn, call: RunningCall, wanted: RoutedRequest
) -> AsyncGenerator[MeteredEvent, None]:
    """Turns other exceptions into InternalError or DatabaseUnavailable: the engine gets every end."""
    try:
        request = await _with_history(turn, wanted.request_to(turn.models[0]))
        models = able_chain(turn.models, _needed(request))
        metered = metered_call(
            tenant=turn.tenant,
            turn_id=turn.turn_id,
            models=models,
            request=request,
            bounds=await _bounds(turn, request),
            fingerprint=call.fingerprint,
        )
        async with aclosing(metered) as events:
            async for event in events:
                yield event
    except DomainError:
        raise
    except Exception as exc:
        log.exception("model call failed", turn_id=str(turn.turn_id))
        raise database_failure(exc) or InternalError() from exc


async def _with_history(turn: RoutedTurn, request: ModelRequest) -> ModelRequest:
    """The engine's history as it is sent to the model: complete, with its images, and repaired."""
    messages = with_fields(with_placeholders(request.messages), turn.replayed)
    request = replace(request, messages=messages)
    model = turn.models[0]

    async def fits(tried: ModelRequest) -> bool:
        bounds = await _bounds_of(model, tried)
        if bounds is None:
            return True
        prompt = bounds.prompt if bounds.counted is None else bounds.counted
        return prompt + bounds.output <= model.context_window

    ours = await completed(request, turn.branch, context_window=model.context_window, fits=fits)
    if ours is not None:
        log.warning("the engine's history lacks messages", turn_id=str(turn.turn_id))
        request = ours
        if not turn.branch.is_ours or turn.branch.is_noted:
            await in_tenant(turn.tenant, note_restored, turn.turn_id)
    if turn.questions:
        request = await _with_images(turn, request)
    return replace(request, messages=repaired(request.messages, turn.branch.unanswered))


async def _with_images(turn: RoutedTurn, request: ModelRequest) -> ModelRequest:
    """Adds the images of user messages, which the engine has never seen."""
    is_seeing = Ability.IMAGES in turn.models[0].abilities
    messages = placed(request.messages, turn.questions, is_seeing=is_seeing)
    return await filled(turn.tenant, turn.conversation_id, replace(request, messages=messages))


def _needed(request: ModelRequest) -> frozenset[str]:
    return needed_abilities(tools=bool(request.tools), images=has_images(request.messages))


async def _held(turn: RoutedTurn, calls: list[JsonObject]) -> list[JsonObject]:
    try:
        return await hold_calls(turn, calls)
    except DomainError:
        raise
    except Exception as exc:
        log.exception("tool calls failed", turn_id=str(turn.turn_id))
        raise database_failure(exc) or InternalError() from exc


async def _bounds(turn: RoutedTurn, request: ModelRequest) -> Bounds | None:
    """ContextTooLong if, by the model's tokenizer, the request does not fit."""
    bounds = await _bounds_of(turn.models[0], request)
    return expect_fit(turn.models[0], bounds) if bounds else None


async def _bounds_of(model: ModelRef, request: ModelRequest) -> Bounds | None:
    try:
        provider = provider_for(model)
    except ProviderError:  # a fallback may answer: the call finds out
        return None
    return await bound_call(provider, request, model)


def _line_of(event: MeteredEvent, envelope: Envelope) -> bytes | None:
    match event:
        case TextDelta(text) | RefusalDelta(text):  # engines do not know refusals
            return line(envelope.chunk({"content": text}))
        case ReasoningDelta(text):
            return line(envelope.chunk({"reasoning_content": text}))
    return None


def merged(lines: list[bytes]) -> dict[str, Any]:
    """The streamed chunks as one response, for an engine that requested no stream."""
    chunks = [
        json.loads(text.removeprefix(b"data: "))
        for text in b"".join(lines).split(b"\n\n")
        if text and text != DONE.strip()
    ]
    failed = next((chunk for chunk in chunks if "error" in chunk), None)
    if failed is not None:
        return failed  # type: ignore[no-any-return]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    calls = merge_tool_calls(delta["tool_calls"] for delta in deltas if "tool_calls" in delta)
    text, reasoning = (
        "".join(delta.get(name) or "" for delta in deltas) for name in ("content", "reasoning_content")
    )
    message = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        **({"reasoning_content": reasoning} if reasoning else {}),
        **({"tool_calls": calls} if calls else {}),
    }
    reason = next((choice["finish_reason"] for choice in choices if choice["finish_reason"]), "stop")
    whole = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    usage = next((chunk["usage"] for chunk in chunks if chunk.get("usage")), None)
    return {**chunks[0], "object": "chat.completion", "choices": [whole], "usage": usage}
