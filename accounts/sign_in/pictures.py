"""A person's picture: redrawn from the upload, so that only pixels are stored; visible to team mates."""

import secrets
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.audit import services as audit
from accounts.models import Membership, Picture, User
from kit.errors import InvalidInput
from kit.images import NewPicture, make_picture
from kit.tenancy import connection_released

SIDE = 192  # pixels


def make_square(*, user_id: UUID, upload: bytes) -> NewPicture:
    """Re-encodes an upload, which can take seconds: without a connection, and so outside any transaction.

    InvalidInput for anything that browsers cannot show, AtCapacity if too many pictures are being made.
    """
    if len(upload) > settings.IMAGE_MAX_BYTES:
        raise InvalidInput(picture=[f"Choose an image of at most {settings.IMAGE_MAX_BYTES:,} bytes."])
    with connection_released():
        return make_picture(upload, name="picture", side=SIDE, square=True, payers=(user_id,))


@transaction.atomic
def set_picture(*, user: User, made: NewPicture) -> None:
    """Replaces the previous picture."""
    Picture.objects.update_or_create(user=user, defaults={"webp": made.data})
    user.picture_version = secrets.token_hex(8)
    user.save(update_fields=["picture_version"])
    audit.record("user.picture_changed", actor_id=user.id, target=user.email)


@transaction.atomic
def remove_picture(*, user: User) -> None:
    if user.picture_version:
        Picture.objects.filter(user=user).delete()
        user.picture_version = ""
        user.save(update_fields=["picture_version"])
        audit.record("user.picture_removed", actor_id=user.id, target=user.email)


def picture_for(*, viewer_id: UUID, user_id: UUID) -> bytes | None:
    """None unless the viewer is the person, or shares a team with them."""
    teams = Membership.objects.filter(user=viewer_id).values("tenant")
    visible = Q(user=viewer_id) | Q(user__memberships__tenant__in=teams)
    row = Picture.objects.filter(visible, user=user_id).first()
    return bytes(row.webp) if row else None
