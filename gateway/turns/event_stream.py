"""Follows a turn's events in whichever process it runs or ran: live in this one, else from its row."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from accounts.principals import Principal
from gateway.conversations.services import visible_turns
from gateway.engines.base import TurnJob
from gateway.engines.events import Replacement
from gateway.models import Turn
from gateway.providers.base import TextDelta
from gateway.turns.access_watch import until_lost
from gateway.turns.closing import Ending, ending_of
from gateway.turns.event_json import NAMES, name_of, reply_events
from gateway.turns.events import Done, NumberedEvent, Started
from gateway.turns.relay import RelayReader
from gateway.turns.runner import runner
from gateway.turns.transcript import Transcript
from kit.errors import NotFound, ShuttingDown
from kit.shutdown_state import stopping
from kit.tenancy import in_tenant

MOVED = "The server is restarting. The reply continues: reconnect to follow it from the last event."


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn's row as plain data; `ending` is None while it runs."""

    started: Started
    transcript: Transcript
    ending: Ending | None

    @property
    def lagging(self) -> bool:
        return self.ending is not None and self.ending.finish_reason == Turn.FinishReason.INTERRUPTED


async def follow_turn(
    principal: Principal, turn_id: UUID, after: int = 0
) -> AsyncGenerator[list[NumberedEvent], None]:
    """Batches of events after the id `after`, to the end; NotFound for a turn that is not visible.

    AccessEnded as soon as the principal loses access. ShuttingDown, with the turn's id, if this process stops
    and the turn continues in another one: the client can follow it there from the last id.
    """
    async with aclosing(until_lost(principal, _follow(principal, turn_id, after))) as batches:
        async for batch in batches:
            yield batch


async def _follow(principal: Principal, turn_id: UUID, after: int) -> AsyncIterator[list[NumberedEvent]]:
    """A turn that another process takes over is then followed from there."""
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
    """From the stored reply so far, and from the events that the turn's process relays."""
    stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)
    reader = RelayReader(principal.tenant, turn_id)
    while stored.ending is None:
        batch = list(stored.transcript.after(after))
        has_news = True
        while has_news:
            if batch:
                after = batch[-1].id
                yield batch
                if name_of(batch[-1].event) == NAMES[Done]:
                    return
            relayed = await _next_events(reader, turn_id)
            has_news = bool(relayed)
            batch = [event.past(after) for event in relayed if event.id > after]
        stored = await in_tenant(principal.tenant, read_turn, principal=principal, turn_id=turn_id)
    rest = list(stored.transcript.after(after))
    yield [*rest, *stored.transcript.ending(after, stored.ending.events(), lagging=stored.lagging)]


async def _next_events(reader: RelayReader, turn_id: UUID) -> list[NumberedEvent]:
    """Events relayed by the turn's process. ShuttingDown if this process stops and does not run the turn."""
    if turn_id in runner().turns:
        return await reader.next_events()
    moved = ShuttingDown(MOVED, turn_id=str(turn_id))
    return await stopping().unless_begun(reader.next_events(), moved)


def _owns(principal: Principal, job: TurnJob) -> bool:
    return (job.user_id, job.workspace_id) == (principal.user_id, principal.workspace.id)


def read_turn(*, principal: Principal, turn_id: UUID) -> StoredTurn:
    """A visible turn, running or done. NotFound."""
    turn = visible_turn(principal, turn_id)
    started = Started(
        conversation_id=str(turn.conversation_id) if turn.conversation_id else None,
        turn_id=str(turn.id),
        model=turn.model,
    )
    transcript = Transcript(started, reply_events(turn.parts))
    return StoredTurn(started, transcript, ending=ending_of(turn) if turn.is_done else None)


def visible_turn(principal: Principal, turn_id: UUID) -> Turn:
    """The principal's own, or one in a conversation shared with the workspace. NotFound."""
    turn = visible_turns(principal).select_related("conversation").filter(id=turn_id).first()
    if turn is None:
        raise NotFound
    return turn


def reply_of(events: list[NumberedEvent]) -> str:
    """The reply's text, without what a Replacement withdrew."""
    texts: list[str] = []
    for numbered in events:
        match numbered.event:
            case Replacement():
                texts.clear()
            case TextDelta(text):
                texts.append(text)
    return "".join(texts)
