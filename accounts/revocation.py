"""Tells every process that somebody's rights have changed, so that what is open is looked at again."""

from uuid import UUID

from django.db.models import F

from accounts.models import User
from kit.pg_notify import notify

ACCESS_CHANGED = "switchyard_access_changed"  # payload: the id of a user, or of a tenant for everybody in it


def access_changed(subject_id: UUID) -> None:
    """Sent when the surrounding transaction commits; nothing depends on its arrival but the haste."""
    notify(ACCESS_CHANGED, str(subject_id))


def end_tokens(user_id: UUID) -> None:
    """No access or refresh token issued so far opens anything any more, anywhere."""
    User.objects.filter(id=user_id).update(access_version=F("access_version") + 1)
    access_changed(user_id)
