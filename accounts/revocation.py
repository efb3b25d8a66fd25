"""Announces changed rights to every process, so that open sockets and turns are checked again."""

from uuid import UUID

from django.db.models import F

from accounts.models import User
from kit.pg_notify import notify

ACCESS_CHANGED = "switchyard_access_changed"  # payload: the id of a user, or of a tenant for all its members


def access_changed(subject_id: UUID) -> None:
    """Sent when the transaction commits. Only makes it faster: rights are also checked at intervals."""
    notify(ACCESS_CHANGED, str(subject_id))


def end_tokens(user_id: UUID) -> None:
    """Invalidates every access and refresh token issued so far."""
    User.objects.filter(id=user_id).update(access_version=F("access_version") + 1)
    access_changed(user_id)
