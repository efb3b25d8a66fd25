"""A person's picture: made anew from the upload, so that nothing but pixels is kept; for team mates only."""

import secrets
from io import BytesIO
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from PIL import Image, ImageOps

from accounts import audit
from accounts.models import Membership, Picture, User
from kit.images import on_white, read_image

SIDE = 192  # pixels


@transaction.atomic
def set_picture(*, user: User, upload: bytes) -> None:
    """InvalidInput for what is no picture that a browser would show."""
    webp = _square(upload)
    Picture.objects.update_or_create(user=user, defaults={"webp": webp})
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
    mine = Membership.objects.filter(user=viewer_id).values("tenant")
    mates = Q(user=viewer_id) | Q(user__memberships__tenant__in=mine)
    row = Picture.objects.filter(mates, user=user_id).first()
    return bytes(row.webp) if row else None


def _square(upload: bytes) -> bytes:
    upright = read_image(upload, field="picture", wanted=SIDE * 2)
    small = on_white(ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.LANCZOS))
    out = BytesIO()
    small.save(out, "WEBP", quality=85)
    return out.getvalue()
