"""What people do with their conversations beside chatting: list, open, rename, delete."""

from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts.principals import Principal
from gateway.ingress.stops import notify_stop
from gateway.models import Conversation, Message, Turn
from kit.errors import NotFound


def own_conversations(principal: Principal) -> QuerySet[Conversation]:
    """The caller's conversations in the workspace; nobody else's, whatever the role."""
    return Conversation.objects.filter(workspace_id=principal.workspace.id, user_id=principal.user_id)


def listed_conversations(principal: Principal) -> QuerySet[Conversation]:
    """The same, each knowing whether a reply is being written (`running`)."""
    busy = Turn.objects.filter(conversation=OuterRef("pk"), status=Turn.Status.RUNNING)
    return own_conversations(principal).annotate(running=Exists(busy))


def open_conversation(principal: Principal, conversation_id: UUID) -> Conversation:
    """NotFound unless it is the caller's own."""
    conversation = listed_conversations(principal).filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    return conversation


def messages_of(conversation: Conversation) -> QuerySet[Message]:
    return conversation.messages.select_related("turn").defer("turn__parts", "turn__decision")


def rename_conversation(*, principal: Principal, conversation_id: UUID, title: str) -> Conversation:
    conversation = open_conversation(principal, conversation_id)
    conversation.title = title
    conversation.save(update_fields=["title"])
    return conversation


@transaction.atomic
def delete_conversation(*, principal: Principal, conversation_id: UUID) -> None:
    """Removes it with its turns and messages; a running turn is stopped and still settled."""
    conversation = own_conversations(principal).select_for_update().filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    for turn_id in conversation.turns.filter(status=Turn.Status.RUNNING).values_list("id", flat=True):
        notify_stop(turn_id)
    conversation.delete()
