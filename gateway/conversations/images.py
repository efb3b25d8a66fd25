"""The images that people attach: made anew from the upload, kept sealed, theirs until they are sent."""

from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.page_urls import place_url
from accounts.policy import Action, expect
from accounts.principals import Principal
from gateway.conversations.services import visible_conversations
from gateway.models import Image, Message
from kit.errors import InvalidInput, NotFound
from kit.images import NewPicture, make_picture
from kit.secrets import seal_bytes, unseal_bytes

SIDE = 2048  # pixels: providers make larger ones smaller themselves
MOST_UNSENT = 32  # of a person in a workspace
UNSENT_LIFETIME = timedelta(days=1)
STRANGE = ["This is not one of your unsent images. Attach it again."]


def make_anew(*, principal: Principal, upload: bytes) -> NewPicture:
    """Takes a second of computing and no database: to be called without a connection to it.

    InvalidInput for what is no picture, AtCapacity where too many are made at a time.
    """
    expect(principal, Action.CHAT)
    payers = (principal.tenant.id, principal.user_id)
    return make_picture(upload, name="image", side=SIDE, square=False, payers=payers)


@transaction.atomic
def keep_image(*, principal: Principal, made: NewPicture) -> Image:
    """Until it is sent. Of too many that never were, the oldest give way."""
    kept = _unsent(principal).order_by("-created_at").values_list("id", flat=True)
    Image.objects.filter(id__in=list(kept[MOST_UNSENT - 1 :]), conversation=None).delete()
    width, height = made.size
    return Image.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        media_type=made.media_type,
        width=width,
        height=height,
        sealed=seal_bytes(made.data),
    )


def show_image(*, principal: Principal, image_id: UUID) -> Image:
    """NotFound unless it is one's own, or in a conversation that one may read. Its bytes: `bytes_of`."""
    mine = Q(conversation=None, user_id=principal.user_id, workspace_id=principal.workspace.id)
    readable = Q(conversation__in=visible_conversations(principal).values("id"))
    row = Image.objects.filter(mine | readable, id=image_id).defer("sealed").first()
    if row is None:
        raise NotFound
    return row


def bytes_of(row: Image) -> bytes:
    return unseal_bytes(row.sealed)


def discard_image(*, principal: Principal, image_id: UUID) -> None:
    """One that was not sent. NotFound."""
    deleted, _ = _unsent(principal).filter(id=image_id).delete()
    if not deleted:
        raise NotFound


def find_images(
    *, principal: Principal, wanted: tuple[UUID, ...], known: tuple[UUID, ...]
) -> tuple[UUID, ...]:
    """The wanted ones, each once: unsent, or `known` from the message that is edited. InvalidInput."""
    fresh = set(wanted) - set(known)
    found = set(_unsent(principal).filter(id__in=fresh).values_list("id", flat=True)) if fresh else set()
    if fresh - found:
        raise InvalidInput(images=STRANGE)
    return tuple(dict.fromkeys(wanted))


def take_images(*, message: Message, image_ids: tuple[UUID, ...], user_id: UUID) -> None:
    """They are the message's from now on. InvalidInput where another request has sent one meanwhile."""
    if not image_ids:
        return
    here = Q(conversation=message.conversation_id)
    unsent = Q(conversation=None, user_id=user_id)
    rows = Image.objects.filter(here | unsent, id__in=image_ids)
    if rows.update(conversation=message.conversation_id) != len(image_ids):
        raise InvalidInput(images=STRANGE)


def told_images(image_ids: list[UUID], known: dict[UUID, Image]) -> list[dict[str, object]]:
    """As the API tells them, in their order."""
    rows = [known[image_id] for image_id in image_ids if image_id in known]
    return [
        {"id": str(row.id), "media_type": row.media_type, "width": row.width, "height": row.height}
        for row in rows
    ]


def shown_images(principal: Principal, told: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same with where a page finds each."""
    return [{**row, "url": place_url(principal, "chat_image", image_id=row["id"])} for row in told]


def images_of(messages: list[Message]) -> dict[UUID, Image]:
    """What is told of the images of these messages, by id; without their bytes."""
    wanted = [image_id for message in messages for image_id in message.image_ids]
    rows = Image.objects.filter(id__in=wanted).defer("sealed") if wanted else ()
    return {row.id: row for row in rows}


def images_told(image_ids: list[UUID]) -> list[dict[str, object]]:
    """In the tenant's schema: what is told of images whose use was decided already."""
    rows = Image.objects.filter(id__in=image_ids).defer("sealed") if image_ids else ()
    return told_images(image_ids, {row.id: row for row in rows})


def _unsent(principal: Principal) -> models.QuerySet[Image]:
    return Image.objects.filter(
        conversation=None, user_id=principal.user_id, workspace_id=principal.workspace.id
    )


@transaction.atomic
def forget_unsent_images() -> int:
    """In a tenant's schema: those that nobody sent within a day."""
    old = Image.objects.filter(conversation=None, created_at__lt=timezone.now() - UNSENT_LIFETIME)
    deleted, _ = old.delete()
    return deleted
