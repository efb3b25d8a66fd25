"""A turn's position in LibreChat's tree of messages, and the request that starts it. Pure."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from gateway.engines.base import Question, TurnJob
from gateway.engines.librechat.client import ENDPOINT, MODEL
from gateway.engines.librechat.placeholders import hide_placeholders
from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound

START = UUID(int=0)  # the parent of a conversation's first message


def chat_body(
    job: TurnJob, question: Question, parent: UUID, *, knows_question: bool, servers: Iterable[str] = ()
) -> JsonObject:
    """The request body that starts the turn's generation with our own ids.

    `knows_question`: LibreChat has the message already and only regenerates the reply. `servers` are
    LibreChat's names of those whose tools it may use.
    """
    request = job.request
    body = start_body(
        question.text,
        conversation_id=job.conversation_id,
        reply_id=job.turn_id,
        parent=parent,
        max_tokens=request.max_tokens,
    )
    # LibreChat trims the history to this, by a tokenizer that may not be the model's.
    body["maxContextTokens"] = max(job.model.context_window - request.max_tokens, 1)
    instructions = next((text["content"] for text in request.messages if text["role"] == "system"), "")
    if instructions:
        body["promptPrefix"] = hide_placeholders(instructions)
    if named := list(servers):
        body["ephemeralAgent"] = {"mcp": named}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if knows_question:
        return {**body, "isRegenerate": True, "overrideParentMessageId": str(question.id)}
    return {**body, "overrideUserMessageId": f"{question.id}__0"}


def start_body(
    text: str, *, conversation_id: UUID | None, reply_id: UUID, parent: UUID, max_tokens: int
) -> JsonObject:
    """The fields of every start; a repeated start is the same generation, by the reply's id."""
    return {
        "text": text,
        "endpoint": ENDPOINT,
        "endpointType": "custom",
        "model": MODEL,
        "conversationId": str(conversation_id),
        "parentMessageId": str(parent),
        "responseMessageId": str(reply_id),
        "clientRequestId": str(reply_id),
        "isTemporary": False,
        "max_tokens": max_tokens,
    }


def choose_parent(ancestors: tuple[UUID, ...], known: set[UUID]) -> UUID:
    """The latest of the ancestors whose reply LibreChat has."""
    return next((turn_id for turn_id in ancestors if turn_id in known), START)


def message_ids(rows: list[JsonObject]) -> set[UUID]:
    return {message_id for row in rows if (message_id := _id_of(row)) is not None}


def texts_of(rows: list[JsonObject]) -> dict[UUID, str]:
    """Each message's text by its id; a reply's without reasoning, tools and errors."""
    return {message_id: _text_of(row) for row in rows if (message_id := _id_of(row)) is not None}


def _id_of(row: JsonObject) -> UUID | None:
    try:
        return UUID(str(row.get("messageId")))
    except ValueError:
        return None


def _text_of(row: JsonObject) -> str:
    parts = row.get("content")
    if isinstance(parts, list) and parts:
        return "".join(
            _part_text(part) for part in parts if isinstance(part, dict) and part.get("type") == "text"
        )
    return sound(str(row.get("text") or ""))


def _part_text(part: JsonObject) -> str:
    text: Any = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    return sound(text) if isinstance(text, str) else ""
