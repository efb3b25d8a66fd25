"""The end of a turn: the final frame of a complete or aborted reply, and its stored form."""

from gateway.tests.replayed_librechat.answers import Json
from gateway.tests.replayed_librechat.conversations import Conversation
from gateway.tests.replayed_librechat.generations import Generation
from gateway.tests.replayed_librechat.model_calls import ModelCalls


def completed(generation: Generation, conversation: Conversation, body: Json, calls: ModelCalls) -> Json:
    said = generation.user_message
    tokens = estimate(said["text"])
    conversation.row_id(generation.response_id)
    conversation.set()
    reply = {
        "messageId": generation.response_id,
        "conversationId": generation.stream_id,
        "parentMessageId": said["messageId"],
        "isCreatedByUser": False,
        "isEdited": False,
        "model": generation.model,
        "sender": "AI",
        "promptTokens": tokens,
        "endpoint": body["endpoint"],
        **calls.metadata(),
        "text": "",
        "content": generation.content.parts,
        "tokenCount": calls.written or estimate(generation.content.text),
        "attachments": [],
    }
    return {
        "final": True,
        "conversation": conversation.as_json(),
        "title": conversation.fields["title"],
        "requestMessage": said | {"tokenCount": tokens},
        "responseMessage": reply,
    }


def aborted(generation: Generation, conversation: Conversation, body: Json) -> Json:
    said = {key: value for key, value in generation.user_message.items() if key != "sender"}
    reply = {
        "messageId": generation.response_id,
        "parentMessageId": said["messageId"],
        "conversationId": generation.stream_id,
        "content": generation.content.parts,
        "sender": "AI",
        "endpoint": body["endpoint"],
        "model": generation.model,
        "unfinished": True,
        "error": False,
        "isCreatedByUser": False,
    }
    return {
        "final": True,
        "conversation": {"conversationId": generation.stream_id},
        "title": conversation.fields["title"],
        "requestMessage": said,
        "responseMessage": reply,
        "aborted": True,
        "earlyAbort": not generation.created,
    }


def stored(reply: Json) -> Json:
    """The reply as it is stored: without the frame's estimates, and with nulls for missing gauge values."""
    saved = {key: value for key, value in reply.items() if key not in ("isEdited", "promptTokens")}
    if metadata := saved.get("metadata"):
        gauge = metadata["contextUsage"]
        gaps = {"toolTokenCounts": None, "deferredToolNames": None}
        whole = gauge | {"breakdown": gaps | gauge["breakdown"]}
        saved["metadata"] = metadata | {"contextUsage": whole}
    return saved


def estimate(text: str) -> int:
    """An approximation of LibreChat's own count."""
    return len(text.split()) + 4
