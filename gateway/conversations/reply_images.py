"""Stores the images of a reply as uploads are stored: re-encoded and encrypted, in the conversation."""

import asyncio
import binascii
import hashlib
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError

from gateway.conversations.images import SIDE
from gateway.conversations.reply_extras import MOST_IMAGES, image_url
from gateway.models import Image
from gateway.providers.base import Extra, JsonObject
from kit.errors import DomainError
from kit.images import NewPicture, make_picture
from kit.secrets import seal_bytes
from kit.tenancy import TenantRef, in_tenant

log = structlog.get_logger(__name__)
KINDS = ("image/png", "image/jpeg", "image/webp", "image/gif")
# Each waits for a child process. The loop's own threads, which resolve host names, must not.
_WORKERS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="reply-images")


@dataclass(slots=True)
class ReplyImages:
    """The images of one reply, at most MOST_IMAGES; one that is sent again is stored once."""

    tenant: TenantRef
    conversation_id: UUID
    workspace_id: UUID
    user_id: UUID
    _known: dict[bytes, JsonObject] = field(default_factory=dict)  # by the hash of the URL

    async def store(self, extra: Extra) -> tuple[Extra, Extra]:
        """The field as it is stored, with ids and without bytes; and as live clients get it, with both.

        An image that cannot be stored has no id; live clients get it nevertheless.
        """
        if (extra.place, extra.name) != ("message", "images") or not isinstance(extra.value, list):
            return extra, extra
        stored, live = [], []
        for item in extra.value:
            url = image_url(item) if isinstance(item, dict) else ""
            if url[:5].lower() != "data:":
                stored.append(item)
                live.append(item)
                continue
            named = await self._store(url)
            place = f"/v1/images/{named['image_id']}" if named else ""
            stored.append({**item, "image_url": {"url": place}, **named})
            live.append({**item, **named})
        return Extra("message", "images", stored), Extra("message", "images", live)

    async def _store(self, url: str) -> JsonObject:
        """Its id and size; empty if it is not stored."""
        digest = hashlib.sha256(url.encode(errors="replace")).digest()
        if digest not in self._known:
            if len(self._known) >= MOST_IMAGES:
                return {}
            self._known[digest] = await self._stored(url)
        return self._known[digest]

    async def _stored(self, url: str) -> JsonObject:
        data = _bytes_of(url)
        if not data:
            return {}
        try:
            loop = asyncio.get_running_loop()
            picture = await loop.run_in_executor(_WORKERS, self._picture, data)
            return await in_tenant(self.tenant, self._create, picture)
        except (DomainError, DatabaseError, OSError) as exc:  # the reply continues without it
            log.warning("image of a reply was not stored", error=type(exc).__name__)
            return {}

    def _picture(self, data: bytes) -> NewPicture:
        payers = (self.tenant.id, self.user_id)
        return make_picture(data, name="image", side=SIDE, square=False, payers=payers)

    def _create(self, picture: NewPicture) -> JsonObject:
        width, height = picture.size
        row = Image.objects.create(
            workspace_id=self.workspace_id,
            user_id=self.user_id,
            conversation_id=self.conversation_id,
            media_type=picture.media_type,
            width=width,
            height=height,
            sealed=seal_bytes(picture.data),
        )
        return {"image_id": str(row.id), "width": width, "height": height}


def _bytes_of(url: str) -> bytes:
    """Of a data: URL; empty if it is too large or not base64 of one of KINDS."""
    head, _, encoded = url.partition(",")
    kind, _, coding = head[5:].lower().partition(";")
    is_fit = kind.strip() in KINDS and coding.strip() == "base64"
    if not is_fit or len(encoded) > settings.IMAGE_MAX_BYTES * 4 // 3 + 4:
        return b""
    try:
        return b64decode(encoded)
    except (binascii.Error, ValueError):
        return b""
