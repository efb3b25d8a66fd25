"""Puts a conversation's images into a model call at the last moment, so that no engine ever holds one.

Until then a message refers to an image by a private URL that only the gateway resolves.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from gateway.models import Image, Message
from gateway.providers.base import JsonObject, ModelRequest
from kit.database_retry import patiently
from kit.secrets import unseal_bytes
from kit.tenancy import TenantRef, in_tenant

SCHEME = "switchyard-image:"
MOST_EARLIER = 4  # images of earlier messages in a call; older ones are replaced by a text
MOST_MESSAGES = 100  # to look back; an engine has some of them in its history
LEFT_OUT = "[An image from earlier, which is not shown any more.]"
UNSEEN = "[An image, which this model cannot see.]"


@dataclass(frozen=True, slots=True)
class UserMessage:
    """The text and images of an earlier or the current message of a person."""

    text: str
    image_ids: tuple[UUID, ...]


def with_images(text: str, image_ids: Sequence[UUID]) -> str | list[JsonObject]:
    """A message's content, with references to its images."""
    if not image_ids:
        return text
    references = [
        {"type": "image_url", "image_url": {"url": f"{SCHEME}{image_id}"}} for image_id in image_ids
    ]
    return [{"type": "text", "text": text}, *references]


def with_placeholders(text: str, placeholder: str, number: int) -> str:
    """A message's content if its images cannot be sent."""
    return "\n\n".join([text, *[placeholder] * number])


def has_image_references(messages: Sequence[JsonObject]) -> bool:
    return any(_id_of(part) for message in messages for part in _parts(message))


class EarlierImages:
    """Chooses which images of earlier messages are sent, from the latest message back.

    All images of a message are sent or none, since people may refer to any of them.
    """

    def __init__(self, *, is_seeing: bool) -> None:
        self.is_seeing = is_seeing
        self.shown = 0

    def content(self, message: UserMessage) -> str | list[JsonObject]:
        number = len(message.image_ids)
        if not self.is_seeing:
            return with_placeholders(message.text, UNSEEN, number)
        if self.shown >= MOST_EARLIER:
            return with_placeholders(message.text, LEFT_OUT, number)
        self.shown += number
        return with_images(message.text, message.image_ids)


def placed(
    messages: Sequence[JsonObject], questions: Sequence[UserMessage], *, is_seeing: bool
) -> list[JsonObject]:
    """An engine's history with the images of its user messages.

    `questions` are the conversation's user messages, the latest first, beginning with the current one. An
    engine may have dropped some; a text that occurs twice is matched with the later one.
    """
    found, earlier, left, is_now = [], EarlierImages(is_seeing=is_seeing), iter(questions), True
    for message in reversed(messages):
        asked = next(_until(left, text_of(message)), None) if message.get("role") == "user" else None
        if asked is None or not asked.image_ids:
            found.append(message)
        elif is_now and is_seeing:
            found.append({**message, "content": with_images(asked.text, asked.image_ids)})
        else:
            found.append({**message, "content": earlier.content(asked)})
        is_now = is_now and message.get("role") != "user"
    return found[::-1]


def _until(left: Iterator[UserMessage], text: str) -> Iterator[UserMessage]:
    """The next message with this text; those that were skipped are used up."""
    for asked in left:
        if asked.text.strip() == text.strip():
            yield asked
            return


def questions_of(*, conversation_id: UUID) -> tuple[UserMessage, ...]:
    """In the tenant's schema: the user messages of the current path, the latest first."""
    if not Image.objects.filter(conversation=conversation_id).exists():
        return ()
    rows = Message.objects.filter(
        conversation=conversation_id, role=Message.Role.USER, turn__is_current=True
    ).order_by("-created_at", "-id")[:MOST_MESSAGES]
    return tuple(UserMessage(row.content, tuple(row.image_ids)) for row in rows)


async def filled(tenant: TenantRef, conversation_id: UUID | None, request: ModelRequest) -> ModelRequest:
    """The request with the images themselves. Only images of the conversation are ever read."""
    if conversation_id is None or not has_image_references(request.messages):
        return request
    parts = (part for message in request.messages for part in _parts(message))
    wanted = {image_id for part in parts if (image_id := _id_of(part))}
    urls = await patiently(
        in_tenant, tenant, data_urls, conversation_id=conversation_id, image_ids=sorted(wanted)
    )
    return replace(request, messages=[_filled(message, urls) for message in request.messages])


def data_urls(*, conversation_id: UUID, image_ids: list[UUID]) -> dict[UUID, str]:
    rows = Image.objects.filter(conversation=conversation_id, id__in=image_ids)
    return {
        row.id: f"data:{row.media_type};base64,{base64.b64encode(unseal_bytes(row.sealed)).decode()}"
        for row in rows
    }


def _filled(message: JsonObject, urls: dict[UUID, str]) -> JsonObject:
    parts = _parts(message)
    if not any(_id_of(part) for part in parts):
        return message
    return {**message, "content": [_shown(part, urls) for part in parts]}


def _shown(part: JsonObject, urls: dict[UUID, str]) -> JsonObject:
    image_id = _id_of(part)
    if image_id is None:
        return part
    url = urls.get(image_id)
    return {"type": "image_url", "image_url": {"url": url}} if url else {"type": "text", "text": LEFT_OUT}


def _parts(message: JsonObject) -> list[JsonObject]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _id_of(part: Any) -> UUID | None:
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str) or not url.startswith(SCHEME):
        return None
    try:
        return UUID(url.removeprefix(SCHEME))
    except ValueError:
        return None


def text_of(message: JsonObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in _parts(message) if isinstance(part, dict))
