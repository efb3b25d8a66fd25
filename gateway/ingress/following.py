"""Follows a turn's events wherever it runs or ran: live in this process, else from its row."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.principals import Principal
from gateway.ingress.closing import Ending, ending_of
from gateway.ingress.running import runner, started_data
from gateway.ingress.transcript import NumberedEvent, Transcript
from gateway.models import Turn
from kit.errors import NotFound
from kit.tenancy import in_tenant

POLL_SECONDS = 1.0  # for a turn that another process runs


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn's row as plain data; `ending` is None while it runs."""

    transcript: Transcript
    ending: Ending | None

    @property
    def lagging(self) -> bool:
        return self.ending is not None and self.ending.finish_reason == Turn.FinishReason.INTERRUPTED


async def follow_turn(
    principal: Principal, turn_id: UUID, after: int = 0
) -> AsyncIterator[list[NumberedEvent]]:
    """Batches of events past the id `after`, to the end; NotFound for a turn that is not the caller's own.

    The caller has the stored turn read first, so that nobody follows what is not theirs.
    """
    stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)
    live = runner().turns.get(turn_id)
    if live is not None:
        async for batch in live.follow(after):
            yield batch
        return
    while True:
        batch = [event for event in stored.transcript.after(after) if event.id > after]
        if stored.ending is not None:
            ends = stored.transcript.ending(after, stored.ending.events(), lagging=stored.lagging)
            yield [*batch, *ends]
            return
        if batch:
            yield batch
            after = max(after, stored.transcript.position)
        await asyncio.sleep(POLL_SECONDS)
        stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)


def read_turn(*, principal: Principal, turn_id: UUID) -> StoredTurn:
    """One of the caller's own turns in the workspace, running or done."""
    turn = own_turn(principal, turn_id)
    started = started_data(turn.id, turn.conversation_id, turn.model)
    done = turn.status == Turn.Status.DONE
    return StoredTurn(transcript=Transcript(started, turn.parts), ending=ending_of(turn) if done else None)


def own_turn(principal: Principal, turn_id: UUID) -> Turn:
    turn = Turn.objects.filter(
        id=turn_id, user_id=principal.user_id, workspace_id=principal.workspace.id
    ).first()
    if turn is None:
        raise NotFound
    return turn


def collect_result(events: list[NumberedEvent]) -> dict[str, Any]:
    """The whole turn as the one JSON that a client without a stream gets."""
    told = {event.type: event.data for event in events}
    usage = dict(told["usage"])
    quota = usage.pop("quota")
    return {
        "conversation_id": told["started"]["conversation_id"],
        "turn_id": told["started"]["turn_id"],
        "reply": "".join(event.data["text"] for event in events if event.type == "delta"),
        "finish_reason": told["done"]["finish_reason"],
        "usage": usage,
        "quota": quota,
    }
