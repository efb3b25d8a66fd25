"""A turn's model calls, for engines that make them in-process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.calls.bounds import Bounds
from gateway.calls.call_images import filled
from gateway.calls.metered import Held, metered_call
from gateway.engines.base import TurnJob
from gateway.engines.events import EngineEvent
from gateway.providers.base import JsonObject, ModelRequest, Notice, Unread, UsageReport


async def call_model(
    job: TurnJob, request: ModelRequest | None = None, bounds: Bounds | None = None
) -> AsyncGenerator[EngineEvent, None]:
    """One metered call: the turn's first, or a later `request`; ends after one Finish.

    Tool calls arrive as ToolCallDelta, in the pieces in which they were streamed. Usage is left out: it is
    read from the ledger at the end of the turn.
    """
    call = metered_call(
        tenant=job.tenant,
        turn_id=job.turn_id,
        models=job.models,
        request=await filled(job.tenant, job.conversation_id, request or job.request),
        bounds=bounds if request else job.bounds,
    )
    async with aclosing(call) as events:
        async for event in events:
            match event:
                case UsageReport() | Held() | Unread():
                    continue
                case Notice(kind, data):
                    yield Notice(kind, {"text": _text(kind, data), **data})
                case _:
                    yield event


def _text(kind: str, data: JsonObject) -> str:
    """A notice for people."""
    if kind == "fallback":
        return f"{data['from']} is not responding. {data['to']} answers instead."
    return "The model's provider is not responding. Trying again."
