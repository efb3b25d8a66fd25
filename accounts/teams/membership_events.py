"""Whoever changes a membership, be it an operator in the admin: what is open by it is looked at again."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from accounts.models import Membership, User, WorkspaceMember
from accounts.revocation import access_changed


@receiver([post_save, post_delete], sender=Membership)
@receiver([post_save, post_delete], sender=WorkspaceMember)
def look_again(*, instance: Membership | WorkspaceMember, **kwargs: Any) -> None:
    access_changed(instance.user_id)


@receiver(post_save, sender=User)
def look_again_at_the_closed(*, instance: User, created: bool, **kwargs: Any) -> None:
    if not created and not instance.is_active:
        access_changed(instance.id)
