"""Lists, opens, renames, shares and deletes conversations."""

from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.calls.channels import notify_stop
from gateway.engines.outbox import defer_deletion, defer_rename
from gateway.models import Conversation, Message, Turn
from kit.errors import Forbidden, NotFound


def own_conversations(principal: Principal) -> QuerySet[Conversation]:
    """The principal's conversations in the workspace; no one else's, whatever the role."""
    return Conversation.objects.filter(workspace_id=principal.workspace.id, user_id=principal.user_id)


def visible_conversations(principal: Principal) -> QuerySet[Conversation]:
    """The principal's own in the workspace, and those that others share with it."""
    rows = Conversation.objects.filter(workspace_id=principal.workspace.id)
    return rows.filter(Q(user_id=principal.user_id) | Q(is_shared=True))


def visible_turns(principal: Principal) -> QuerySet[Turn]:
    """The principal's own turns in the workspace, and those of conversations shared with it."""
    rows = Turn.objects.filter(workspace_id=principal.workspace.id)
    return rows.filter(Q(user_id=principal.user_id) | Q(conversation__is_shared=True))


def listed_conversations(principal: Principal) -> QuerySet[Conversation]:
    """The visible ones, annotated with whether a reply is being written (`running`)."""
    busy = Turn.objects.running().filter(conversation=OuterRef("pk"))
    return visible_conversations(principal).annotate(running=Exists(busy))


def open_conversation(principal: Principal, conversation_id: UUID) -> Conversation:
    """NotFound unless it is the principal's own or shared with the workspace."""
    conversation = listed_conversations(principal).filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    return conversation


def messages_of(conversation: Conversation) -> QuerySet[Message]:
    """The messages on the conversation's current path."""
    shown = conversation.messages.filter(turn__is_current=True)
    return shown.select_related("turn").defer("turn__parts", "turn__decision")


def change_conversation(
    *, principal: Principal, conversation_id: UUID, title: str | None = None, shared: bool | None = None
) -> Conversation:
    """Renames or shares it; None: unchanged. Forbidden for another's, NotFound for a hidden one."""
    expect(principal, Action.CONVERSATIONS_CHANGE)
    with transaction.atomic():
        conversation = visible_conversations(principal).select_for_update().filter(id=conversation_id).first()
        if conversation is None:
            raise NotFound
        if conversation.user_id != principal.user_id:
            raise Forbidden("Only its owner can change this conversation.")
        if title is not None and title != conversation.title:
            conversation.title = title
            defer_rename(principal.tenant, conversation)
        if shared is not None:
            conversation.is_shared = shared
        conversation.save(update_fields=["title", "is_shared"])
    return open_conversation(principal, conversation_id)


@transaction.atomic
def delete_conversation(*, principal: Principal, conversation_id: UUID) -> None:
    """Deletes it with its turns and messages; a running turn is stopped and still settled.

    Forbidden for another's shared one, NotFound for a hidden one.
    """
    expect(principal, Action.CONVERSATIONS_CHANGE)
    conversation = visible_conversations(principal).select_for_update().filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    if conversation.user_id != principal.user_id:
        raise Forbidden("Only its owner can delete this conversation.")
    for turn_id in conversation.turns.running().ids():
        notify_stop(turn_id)
    defer_deletion(conversation)
    conversation.delete()
