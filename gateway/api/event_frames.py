"""A turn's events in the API's formats: server-sent events, socket frames, and one JSON of the whole turn."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from gateway.errors import AccessEnded
from gateway.turns.event_json import data_of, name_of, usage_data
from gateway.turns.event_stream import reply_of
from gateway.turns.events import Done, NumberedEvent, Started, UsageTotal
from kit import request_origin
from kit.errors import DomainError, ShuttingDown

RESUME_MILLISECONDS = (500, 1500)  # bounds of the pause before a client resumes


async def sse_frames(batches: AsyncIterator[list[NumberedEvent]]) -> AsyncIterator[bytes]:
    """Server-sent events, one chunk a batch; if the stream is cut off, the last one says why."""
    try:
        async for batch in batches:
            yield b"".join(sse_frame(event) for event in batch)
    except (AccessEnded, ShuttingDown) as ended:
        yield end_frame(ended)


def sse_frame(numbered: NumberedEvent) -> bytes:
    return named_frame(numbered.id, name_of(numbered.event), data_of(numbered.event))


def named_frame(event_id: int, name: str, data: dict[str, Any]) -> bytes:
    encoded = json.dumps(data, separators=(",", ":"))
    return f"id: {event_id}\nevent: {name}\ndata: {encoded}\n\n".encode()


def end_frame(ended: DomainError) -> bytes:
    """The last frame of a stream that ends before its turn."""
    return moved_frame(ended) if isinstance(ended, ShuttingDown) else error_frame(ended)


def moved_frame(error: DomainError) -> bytes:
    """Asks the client to resume after a short pause, which differs between clients. It has no id."""
    pause = random.randint(*RESUME_MILLISECONDS)
    data = json.dumps({"turn_id": error.details.get("turn_id"), "text": error.message})
    return f"retry: {pause}\nevent: moved\ndata: {data}\n\n".encode()


def error_frame(error: DomainError) -> bytes:
    """An error that is not an event of the turn, and so has no id."""
    data = error.as_dict(request_origin.current().request_id)
    return f"event: error\ndata: {json.dumps({'error': data})}\n\n".encode()


def socket_frame(numbered: NumberedEvent, turn_id: UUID) -> dict[str, Any]:
    name, data = name_of(numbered.event), data_of(numbered.event)
    return {"type": name, "id": numbered.id, "turn_id": str(turn_id), **data}


def turn_result(events: list[NumberedEvent]) -> dict[str, Any]:
    """The whole turn as one JSON, for a client without a stream."""
    result: dict[str, Any] = {}
    for numbered in events:
        match numbered.event:
            case Started(conversation_id, turn_id):
                result |= {"conversation_id": conversation_id, "turn_id": turn_id, "reply": reply_of(events)}
            case UsageTotal(usage, quota):
                result |= {"usage": usage_data(usage), "quota": quota}
            case Done(finish_reason):
                result |= {"finish_reason": finish_reason}
    fields = ("conversation_id", "turn_id", "reply", "finish_reason", "usage", "quota")
    return {field: result[field] for field in fields}
