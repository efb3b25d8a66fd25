"""A conversation's messages as its engine has them; our own copy where it has none or is away."""

from uuid import UUID

from asgiref.sync import async_to_sync

from gateway.engines.base import Thread
from gateway.engines.registry import engine_named
from gateway.models import Conversation, Message, Turn


def engine_texts(conversation: Conversation) -> dict[UUID, str]:
    """The engine's texts by message id; empty where it keeps none, or is away."""
    engine = engine_named(conversation.engine)
    if not engine.has_accounts:
        return {}
    thread = Thread(conversation_id=conversation.id, engine_account_id=conversation.engine_account_id)
    return async_to_sync(engine.messages)(thread) or {}


def text_of(message: Message, turn: Turn, texts: dict[UUID, str]) -> str:
    """The engine's text of a message, by the id that it has there, else ours.

    While a reply is not finished, or broke off, ours is what was told.
    """
    if message.role == Message.Role.USER:
        return texts.get(turn.question_id) or message.content
    return (texts.get(turn.id) if turn.status == Turn.Status.DONE else None) or message.content
