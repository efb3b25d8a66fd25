"""The images of a conversation, put into a model call at the last moment: no engine ever holds one.

Until then a message names an image by an address that means something only here.
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
ENOUGH_EARLIER = 4  # images of earlier messages in a call; older messages' are told of in words
MOST_QUESTIONS = 100  # messages back, of which an engine may have some in its history
LEFT_OUT = "[An image from earlier, which is not shown any more.]"
UNSEEN = "[An image, which this model cannot see.]"


@dataclass(frozen=True, slots=True)
class AskedWith:
    """What a person wrote in an earlier or the current message, and its images."""

    text: str
    image_ids: tuple[UUID, ...]


def with_images(text: str, image_ids: Sequence[UUID]) -> str | list[JsonObject]:
    """A message's content, which names its images."""
    if not image_ids:
        return text
    shown = [{"type": "image_url", "image_url": {"url": f"{SCHEME}{image_id}"}} for image_id in image_ids]
    return [{"type": "text", "text": text}, *shown]


def with_words(text: str, words: str, number: int) -> str:
    """The same where the images cannot be shown."""
    return "\n\n".join([text, *[words] * number])


def names_images(messages: Sequence[JsonObject]) -> bool:
    return any(_id_of(part) for message in messages for part in _parts(message))


class Earlier:
    """Shows the images of earlier messages, asked for from the latest back, until they are enough: a message
    with all that it has, since people go on to speak of any of them."""

    def __init__(self, *, is_seeing: bool) -> None:
        self.is_seeing = is_seeing
        self.shown = 0

    def content(self, asked: AskedWith) -> str | list[JsonObject]:
        number = len(asked.image_ids)
        if not self.is_seeing:
            return with_words(asked.text, UNSEEN, number)
        if self.shown >= ENOUGH_EARLIER:
            return with_words(asked.text, LEFT_OUT, number)
        self.shown += number
        return with_images(asked.text, asked.image_ids)


def placed(
    messages: Sequence[JsonObject], questions: Sequence[AskedWith], *, is_seeing: bool
) -> list[JsonObject]:
    """An engine's history with the images that its texts were asked with.

    `questions` are the conversation's, the latest first, the one that is asked now in front. An engine may
    have dropped some; a text that is found twice is the later one.
    """
    found, earlier, left, is_now = [], Earlier(is_seeing=is_seeing), iter(questions), True
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


def _until(left: Iterator[AskedWith], text: str) -> Iterator[AskedWith]:
    """The next of those left that says this; those that were passed over are gone."""
    for asked in left:
        if asked.text.strip() == text.strip():
            yield asked
            return


def questions_of(*, conversation_id: UUID) -> tuple[AskedWith, ...]:
    """In the tenant's schema: what was asked on the path that is shown, the latest first."""
    if not Image.objects.filter(conversation=conversation_id).exists():
        return ()
    rows = Message.objects.filter(
        conversation=conversation_id, role=Message.Role.USER, turn__is_current=True
    ).order_by("-created_at", "-id")[:MOST_QUESTIONS]
    return tuple(AskedWith(row.content, tuple(row.image_ids)) for row in rows)


async def filled(tenant: TenantRef, conversation_id: UUID | None, request: ModelRequest) -> ModelRequest:
    """The request with the images themselves. Only those of the conversation are ever read."""
    if conversation_id is None or not names_images(request.messages):
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
