"""Families of tokens, one for each sign-in: ended by signing out, or by reuse of a spent refresh token.

RFC 9700, 4.14: a refresh token works once. If it is used again, there is a copy, and no one can tell which
user is the thief, so all tokens from that sign-in end. A client that never received the response has no
grace: it signs in again.
"""

from datetime import timedelta
from typing import cast
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.models import EndedFamily
from accounts.revocation import access_changed

APP_SESSION = (
    "app_session"  # in the session of an app: its family's id, which survives a change of the session's key
)


def end_family(family: UUID, *, user_id: UUID) -> bool:
    """Its tokens and open sockets end; False if they had already."""
    _, is_new = EndedFamily.objects.get_or_create(id=family)
    if is_new:
        access_changed(user_id)
    return is_new


def forget_ended_families() -> None:
    """Deletes families whose tokens have all expired."""
    lifetime = cast("timedelta", settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"])
    EndedFamily.objects.filter(ended_at__lt=timezone.now() - lifetime - timedelta(days=1)).delete()
