"""Announces changed memberships by Django's model signals, so that changes in the admin are included."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from accounts.models import Membership, User, WorkspaceMember
from accounts.revocation import access_changed


@receiver([post_save, post_delete], sender=Membership)
@receiver([post_save, post_delete], sender=WorkspaceMember)
def announce_membership(*, instance: Membership | WorkspaceMember, **kwargs: Any) -> None:
    access_changed(instance.user_id)


@receiver(post_save, sender=User)
def announce_deactivation(*, instance: User, created: bool, **kwargs: Any) -> None:
    if not created and not instance.is_active:
        access_changed(instance.id)
