"""Deletes a member's sign-ins at MCP servers when they leave a workspace, or their account is recovered."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from accounts.models import User, WorkspaceMember
from kit.tenancy import tenant_scope
from workspaces.kinds import forget_member


@receiver(post_delete, sender=WorkspaceMember)
def forget_sign_ins(*, instance: WorkspaceMember, **kwargs: Any) -> None:
    with tenant_scope(instance.workspace.tenant.ref):
        forget_member(workspace_id=instance.workspace_id, user_id=instance.user_id)


def forget_all_sign_ins(user: User) -> None:
    """One of ACCESS_REMOVED_HOOKS: someone else may have signed in at a server, with their own account."""
    for row in WorkspaceMember.objects.filter(user=user).select_related("workspace__tenant"):
        forget_sign_ins(instance=row)
