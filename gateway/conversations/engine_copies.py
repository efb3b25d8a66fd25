"""A conversation's messages as its engine has them; our own copy if the engine has none or is unavailable."""

from uuid import UUID

from asgiref.sync import async_to_sync

from gateway.engines.base import Thread
from gateway.engines.registry import conversation_store
from gateway.models import Conversation, Message, Turn
from kit.tenancy import connection_released


def engine_texts(conversation: Conversation) -> dict[UUID, str]:
    """The engine's texts by message id; empty if it stores none or is unavailable.

    Holds no connection while the engine is called.
    """
    store = conversation_store(conversation.engine)
    if store is None:
        return {}
    thread = Thread(conversation_id=conversation.id, engine_account_id=conversation.engine_account_id)
    with connection_released():
        return async_to_sync(store.messages)(thread) or {}


def text_of(message: Message, turn: Turn, texts: dict[UUID, str]) -> str:
    """The engine's text of a message, by its id at the engine, else ours.

    For a reply that is unfinished or was cut off, ours is the text that clients saw.
    """
    if message.role == Message.Role.USER:
        return texts.get(turn.question_id) or message.content
    return (texts.get(turn.id) if turn.is_done else None) or message.content
