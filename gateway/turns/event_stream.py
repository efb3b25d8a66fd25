"""Follows a turn's events wherever it runs or ran: live in this process, else from its row."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.principals import Principal
from gateway.conversations.services import visible_turns
from gateway.engines.base import TurnJob
from gateway.models import Turn
from gateway.turns.access_watch import until_lost
from gateway.turns.closing import Ending, ending_of
from gateway.turns.relay import Reader
from gateway.turns.runner import runner, started_data
from gateway.turns.transcript import REPLACE, NumberedEvent, Transcript
from kit.errors import NotFound, ShuttingDown
from kit.shutdown_state import stopping
from kit.tenancy import in_tenant

MOVED = "The server is restarting. The reply continues: reconnect to follow it from the last event."


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
    """Batches of events past the id `after`, to the end; NotFound for a turn that the caller may not see.

    AccessEnded as soon as the caller may not hear the rest. ShuttingDown, with the turn's id, when this
    process stops and the turn goes on in another one: the client can follow it there from the last id.
    """
    async with aclosing(until_lost(principal, _follow(principal, turn_id, after))) as batches:
        async for batch in batches:
            yield batch


async def _follow(principal: Principal, turn_id: UUID, after: int) -> AsyncIterator[list[NumberedEvent]]:
    """A turn that leaves this process, for another that adopts it, is followed there."""
    live = runner().turns.get(turn_id)
    if live is not None and _owns(principal, live.job):
        async for batch in live.follow(after):
            yield batch
            after = batch[-1].id
        if live.ending is not None:
            return
    async for batch in _follow_elsewhere(principal, turn_id, after):
        yield batch


async def _follow_elsewhere(
    principal: Principal, turn_id: UUID, after: int
) -> AsyncIterator[list[NumberedEvent]]:
    """By what the turn writes down, and by what its process relays."""
    stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)
    reader = Reader(principal.tenant, turn_id)
    while stored.ending is None:
        told = list(stored.transcript.after(after))
        news = True
        while news:
            if told:
                after = told[-1].id
                yield told
                if told[-1].type == "done":
                    return
            relayed = await _next_events(reader, turn_id)
            news = bool(relayed)
            told = [event.past(after) for event in relayed if event.id > after]
        stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)
    rest = list(stored.transcript.after(after))
    yield [*rest, *stored.transcript.ending(after, stored.ending.events(), lagging=stored.lagging)]


async def _next_events(reader: Reader, turn_id: UUID) -> list[NumberedEvent]:
    """What the turn's process has relayed. ShuttingDown when this process stops and does not run the turn."""
    if turn_id in runner().turns:
        return await reader.next_events()
    moved = ShuttingDown(MOVED, turn_id=str(turn_id))
    return await stopping().unless_begun(reader.next_events(), moved)


def _owns(principal: Principal, job: TurnJob) -> bool:
    return (job.user_id, job.workspace_id) == (principal.user_id, principal.workspace.id)


def read_turn(*, principal: Principal, turn_id: UUID) -> StoredTurn:
    """A turn that the caller may see, running or done."""
    turn = visible_turn(principal, turn_id)
    started = started_data(turn.id, turn.conversation_id, turn.model)
    done = turn.status == Turn.Status.DONE
    return StoredTurn(transcript=Transcript(started, turn.parts), ending=ending_of(turn) if done else None)


def visible_turn(principal: Principal, turn_id: UUID) -> Turn:
    """The caller's own, or one in a conversation shared with the workspace. NotFound."""
    turn = visible_turns(principal).select_related("conversation").filter(id=turn_id).first()
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
        "reply": reply_of(events),
        "finish_reason": told["done"]["finish_reason"],
        "usage": usage,
        "quota": quota,
    }


def reply_of(events: list[NumberedEvent]) -> str:
    """The reply's text, without what a `replace` withdrew."""
    last = max((at for at, event in enumerate(events) if event.type == REPLACE), default=-1)
    return "".join(event.data["text"] for event in events[last + 1 :] if event.type == "delta")
