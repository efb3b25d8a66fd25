"""Whoever leaves a workspace leaves no sign-in of theirs behind, be it an operator who took them out."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from accounts.models import WorkspaceMember
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.grants import forget_member


@receiver(post_delete, sender=WorkspaceMember)
def forget_sign_ins(*, instance: WorkspaceMember, **kwargs: Any) -> None:
    with tenant_scope(instance.workspace.tenant.ref):
        forget_member(workspace_id=instance.workspace_id, user_id=instance.user_id)
