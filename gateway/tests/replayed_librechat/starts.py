"""The body of a start with LibreChat's defaults, and the refusal for another account."""

import uuid

from gateway.tests.replayed_librechat.answers import Json, compact, frame
from gateway.tests.replayed_librechat.identity import NO_PARENT, timestamp

DEFAULT_CONTEXT = 30400


def complete(body: Json, endpoint: str) -> Json:
    """The body with LibreChat's own values for missing fields."""
    own = {
        "endpoint": endpoint,
        "conversationId": body.get("conversationId") or str(uuid.uuid4()),
        "parentMessageId": body.get("parentMessageId") or NO_PARENT,
        "responseMessageId": body.get("responseMessageId") or str(uuid.uuid4()),
        "maxContextTokens": body.get("maxContextTokens") or DEFAULT_CONTEXT,
        "model": body.get("model") or "",
        "text": body.get("text") or "",
    }
    return body | own


def user_message(body: Json) -> Json:
    """A regenerated turn keeps its user message; an own id ends in `__` and a number."""
    chosen = (body.get("overrideUserMessageId") or "").rpartition("__")[0]
    again = body.get("overrideParentMessageId") if body.get("isRegenerate") else None
    return {
        "messageId": again or chosen or str(uuid.uuid4()),
        "parentMessageId": body["parentMessageId"],
        "conversationId": body["conversationId"],
        "sender": "User",
        "text": body["text"],
        "isCreatedByUser": True,
    }


def refused_foreigner(body: Json) -> str:
    """The response to the start is a stream with an error in it."""
    said = {
        "sender": "User",
        "messageId": str(uuid.uuid4()),
        "parentMessageId": body["parentMessageId"],
        "conversationId": body["conversationId"],
        "isCreatedByUser": True,
        "text": body["text"],
    }
    why = {
        "type": "convo_access",
        "error": "User not authorized for this conversation",
        "prev_count": 0,
        "violation_count": 0,
        "date": timestamp(),
    }
    refusal = {
        "sender": "AI",
        "messageId": str(uuid.uuid4()),
        "conversationId": body["conversationId"],
        "parentMessageId": said["messageId"],
        "unfinished": False,
        "error": True,
        "final": True,
        "text": compact(why),
        "isCreatedByUser": False,
    }
    return frame("message", {"message": said, "created": True}) + frame("error", refusal)
