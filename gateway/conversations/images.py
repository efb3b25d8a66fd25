"""Attached images: re-encoded from the upload, stored encrypted, private until they are sent."""

from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.page_urls import page_url
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.conversations.services import visible_conversations
from gateway.models import Image, Message
from kit.errors import InvalidInput, NotFound
from kit.images import NewPicture, make_picture
from kit.secrets import seal_bytes, unseal_bytes
from kit.tenancy import connection_released

SIDE = 2048  # pixels: providers scale larger ones down themselves
MOST_UNSENT = 32  # per person and workspace
UNSENT_LIFETIME = timedelta(days=1)
UNKNOWN = ["This is not one of your unsent images. Attach it again."]


def attach_image(*, principal: Principal, upload: bytes) -> Image:
    """Re-encodes an upload, without holding a connection meanwhile, and stores it as unsent.

    InvalidInput for a body that is not a picture, AtCapacity if too many are processed concurrently.
    """
    expect(principal, Action.CHAT)
    payers = (principal.tenant.id, principal.user_id)
    with connection_released():
        picture = make_picture(upload, name="image", side=SIDE, square=False, payers=payers)
    return store_image(principal=principal, picture=picture)


@transaction.atomic
def store_image(*, principal: Principal, picture: NewPicture) -> Image:
    """Stores it as unsent. Beyond MOST_UNSENT, the oldest unsent images are deleted."""
    unsent = _unsent(principal).order_by("-created_at").values_list("id", flat=True)
    Image.objects.filter(id__in=list(unsent[MOST_UNSENT - 1 :]), conversation=None).delete()
    width, height = picture.size
    return Image.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        media_type=picture.media_type,
        width=width,
        height=height,
        sealed=seal_bytes(picture.data),
    )


def find_image(*, principal: Principal, image_id: UUID) -> Image:
    """The principal's own, or one in a visible conversation. NotFound. Its bytes: `bytes_of`."""
    own = Q(conversation=None, user_id=principal.user_id, workspace_id=principal.workspace.id)
    readable = Q(conversation__in=visible_conversations(principal).values("id"))
    row = Image.objects.filter(own | readable, id=image_id).defer("sealed").first()
    if row is None:
        raise NotFound
    return row


def bytes_of(row: Image) -> bytes:
    return unseal_bytes(row.sealed)


def discard_image(*, principal: Principal, image_id: UUID) -> None:
    """Deletes an unsent image. NotFound."""
    deleted, _ = _unsent(principal).filter(id=image_id).delete()
    if not deleted:
        raise NotFound


def find_images(
    *, principal: Principal, wanted: tuple[UUID, ...], known: tuple[UUID, ...]
) -> tuple[UUID, ...]:
    """The wanted ones without duplicates: unsent, or `known` from the edited message. InvalidInput."""
    fresh = set(wanted) - set(known)
    found = set(_unsent(principal).filter(id__in=fresh).values_list("id", flat=True)) if fresh else set()
    if fresh - found:
        raise InvalidInput(images=UNKNOWN)
    return tuple(dict.fromkeys(wanted))


def take_images(*, message: Message, image_ids: tuple[UUID, ...], user_id: UUID) -> None:
    """Assigns them to the message. InvalidInput if another request has sent one meanwhile."""
    if not image_ids:
        return
    sent = Q(conversation=message.conversation_id)
    unsent = Q(conversation=None, user_id=user_id)
    rows = Image.objects.filter(sent | unsent, id__in=image_ids)
    if rows.update(conversation=message.conversation_id) != len(image_ids):
        raise InvalidInput(images=UNKNOWN)


def as_data(image_ids: list[UUID], known: dict[UUID, Image]) -> list[dict[str, object]]:
    """The images as JSON, in their order."""
    rows = [known[image_id] for image_id in image_ids if image_id in known]
    return [
        {"id": str(row.id), "media_type": row.media_type, "width": row.width, "height": row.height}
        for row in rows
    ]


def with_urls(principal: Principal, images: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same with the URL of each image for the web."""
    return [{**row, "url": image_url(principal, row["id"])} for row in images]


def image_url(principal: Principal, image_id: object) -> str:
    """The URL of an image for the web."""
    return page_url(principal, "chat_image", image_id=image_id)


def images_of(messages: list[Message]) -> dict[UUID, Image]:
    """The images of these messages by id, without their bytes."""
    wanted = [image_id for message in messages for image_id in message.image_ids]
    rows = Image.objects.filter(id__in=wanted).defer("sealed") if wanted else ()
    return {row.id: row for row in rows}


def image_data(image_ids: list[UUID]) -> list[dict[str, object]]:
    """In the tenant's schema: images as JSON, without an access check."""
    rows = Image.objects.filter(id__in=image_ids).defer("sealed") if image_ids else ()
    return as_data(image_ids, {row.id: row for row in rows})


def _unsent(principal: Principal) -> models.QuerySet[Image]:
    return Image.objects.filter(
        conversation=None, user_id=principal.user_id, workspace_id=principal.workspace.id
    )


@transaction.atomic
def forget_unsent_images() -> int:
    """In a tenant's schema: deletes images that were not sent within a day."""
    old = Image.objects.filter(conversation=None, created_at__lt=timezone.now() - UNSENT_LIFETIME)
    deleted, _ = old.delete()
    return deleted
