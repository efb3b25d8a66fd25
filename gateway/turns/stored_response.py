"""Responses of `/v1/responses` in the database: each is a turn in a conversation of its owner.

In the tenant's schema. `previous_response_id` names a turn; it and the turns before it are continued.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.calls.channels import notify_stop
from gateway.conversations.services import own_conversations
from gateway.engines.direct.engine import DirectEngine
from gateway.engines.outbox import defer_deletion
from gateway.errors import ContextTooLong, TurnInProgress
from gateway.models import Conversation, Message, StoredResponse, Turn
from gateway.providers.base import JsonObject
from gateway.turns.titles import title_of
from kit.errors import NotFound
from quotas.prices import Usage
from quotas.reservations import turn_usage

MOST_TURNS = 1_000  # that one response continues
ANCESTORS = """
    WITH RECURSIVE path AS (
        SELECT id, previous_id, 1 AS depth FROM gateway_turn WHERE id = %s
        UNION ALL
        SELECT turn.id, turn.previous_id, path.depth + 1
        FROM gateway_turn turn JOIN path ON turn.id = path.previous_id WHERE path.depth <= %s
    )
    SELECT id FROM path ORDER BY depth DESC
"""


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """What is stored of a request: a turn in a new conversation, or after `previous`."""

    request: JsonObject
    input_items: list[JsonObject]
    input_bytes: int
    question: str  # the message that the conversation shows
    previous: UUID | None = None


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A stored response as plain data; a turn of the chat has no `request`, and its message as its input."""

    turn_id: UUID
    previous_id: UUID | None
    conversation_id: UUID
    model: str
    created_at: datetime
    finished_at: datetime | None
    finish_reason: str  # empty while it runs
    error: JsonObject | None
    request: JsonObject
    input_items: list[JsonObject]
    parts: list[JsonObject]
    usage: Usage | None = None
    input_bytes: int = field(default=0, repr=False)


def own_turns(principal: Principal) -> QuerySet[Turn]:
    """The principal's own turns that are stored responses."""
    turns = Turn.objects.filter(workspace_id=principal.workspace.id, user_id=principal.user_id)
    return turns.filter(stored_response__isnull=False).select_related("stored_response")


def read_response(*, principal: Principal, turn_id: UUID) -> StoredReply:
    """One of the principal's own, with its usage. NotFound."""
    turn = own_turns(principal).filter(id=turn_id).first()
    if turn is None:
        raise NotFound
    return _reply_of(turn, turn_usage(turn.id) if turn.is_done else None)


def read_responses(*, principal: Principal, turn_ids: Collection[UUID]) -> dict[UUID, StoredReply]:
    """Those of the principal's own that exist."""
    return {turn.id: _reply_of(turn) for turn in own_turns(principal).filter(id__in=turn_ids)}


def read_path(*, principal: Principal, turn_id: UUID, most_bytes: int) -> list[StoredReply]:
    """A turn and those before it on its branch, oldest first: responses, and turns that were sent by chat.

    NotFound, TurnInProgress, ContextTooLong if there are too many, or their input is too large together.
    """
    own = Turn.objects.filter(workspace_id=principal.workspace.id, user_id=principal.user_id)
    turn = own.filter(conversation__isnull=False, id=turn_id).first()
    if turn is None:
        raise NotFound
    if turn.is_running:
        raise TurnInProgress(turn_id=str(turn.id))
    path = _path_to(turn_id)
    sizes = StoredResponse.objects.filter(turn__in=path).values_list("input_bytes", flat=True)
    if len(path) > MOST_TURNS or sum(sizes) > most_bytes:
        raise ContextTooLong("The conversation is too long. Start a new one.")
    rows = Turn.objects.filter(id__in=path).select_related("stored_response").prefetch_related("messages")
    by_id = {row.id: row for row in rows}
    return [_reply_of(by_id[each]) for each in path if each in by_id]


def _path_to(turn_id: UUID) -> list[UUID]:
    """The turn's ancestors and itself, oldest first; one more than MOST_TURNS if there are more."""
    with connection.cursor() as cursor:
        cursor.execute(ANCESTORS, [turn_id, MOST_TURNS])
        return [row[0] for row in cursor.fetchall()]


def _reply_of(turn: Turn, usage: Usage | None = None) -> StoredReply:
    stored: StoredResponse | None = getattr(turn, "stored_response", None)
    return StoredReply(
        turn_id=turn.id,
        previous_id=turn.previous_id,
        conversation_id=turn.conversation_id or turn.id,
        model=turn.model,
        created_at=turn.created_at,
        finished_at=turn.finished_at,
        finish_reason=turn.finish_reason,
        error=turn.error,
        request=stored.request if stored else {},
        input_items=stored.input_items if stored else _chat_input(turn),
        parts=turn.parts,
        usage=usage,
        input_bytes=stored.input_bytes if stored else 0,
    )


def _chat_input(turn: Turn) -> list[JsonObject]:
    """The message of a turn that was sent by chat."""
    texts = [each.content for each in turn.messages.all() if each.role == Message.Role.USER]
    content = [{"type": "input_text", "text": text} for text in texts]
    return [{"type": "message", "role": "user", "content": content}] if content else []


def place_turn(*, principal: Principal, record: ResponseRecord) -> dict[str, Any]:
    """The fields of the new turn that place it in a conversation; the caller's transaction locks that.

    NotFound if what it continues is gone, TurnInProgress if another turn of the conversation runs.
    """
    if record.previous is None:
        return {"conversation": _begin_conversation(principal, record), "previous_id": None}
    conversation = own_conversations(principal).filter(turns=record.previous).select_for_update().first()
    if conversation is None:
        raise NotFound
    running = conversation.turns.running().first()
    if running is not None:
        raise TurnInProgress(turn_id=str(running.id))
    make_current(conversation, _path_to(record.previous))
    return {"conversation": conversation, "previous_id": record.previous}


def _begin_conversation(principal: Principal, record: ResponseRecord) -> Conversation:
    """On the direct engine: a conversation of the API is continued from our own copy."""
    return Conversation.objects.create(
        id=uuid4(),
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        title=title_of(record.question),
        engine=DirectEngine.name,
    )


def make_current(conversation: Conversation, path: Iterable[UUID]) -> None:
    """Shows this branch of the conversation: exactly the turns of the path."""
    turns, shown = conversation.turns, list(path)
    turns.filter(is_current=True).exclude(id__in=shown).update(is_current=False)
    turns.filter(id__in=shown, is_current=False).update(is_current=True)


def record_response(*, turn: Turn, conversation: Conversation, record: ResponseRecord) -> None:
    """Stores the request of a placed turn, and the message that the conversation shows."""
    StoredResponse.objects.create(
        turn=turn, request=record.request, input_items=record.input_items, input_bytes=record.input_bytes
    )
    Message.objects.create(
        id=turn.question_id,
        conversation=conversation,
        turn=turn,
        role=Message.Role.USER,
        content=record.question,
    )
    Conversation.objects.filter(id=conversation.id).update(
        turn_count=F("turn_count") + 1, last_turn_at=timezone.now()
    )


@transaction.atomic
def delete_response(*, principal: Principal, turn_id: UUID) -> None:
    """Deletes the response, its messages and, with its last turn, the conversation. NotFound.

    Those that continue it then continue what it continued. A running one is stopped and still settled.
    """
    expect(principal, Action.CONVERSATIONS_CHANGE)
    conversation = Conversation.objects.select_for_update().filter(turns=turn_id).first()
    turn = own_turns(principal).filter(id=turn_id).first()
    if turn is None or conversation is None:
        raise NotFound
    if turn.is_running:
        notify_stop(turn.id)
    Turn.objects.filter(previous=turn).update(previous=turn.previous_id)
    turn.delete()
    latest = conversation.turns.order_by("-created_at", "-id").values_list("id", flat=True).first()
    if latest is None:
        defer_deletion(conversation)
        conversation.delete()
        return
    Conversation.objects.filter(id=conversation.id, turn_count__gt=0).update(turn_count=F("turn_count") - 1)
    if not conversation.turns.current().exists():
        make_current(conversation, _path_to(latest))
