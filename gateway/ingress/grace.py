"""What is final once a grace is over: deleted workspaces, and the private things of who left."""

from collections.abc import Iterator

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.models import ApiKey, Departure, InvitationPlace, Workspace, WorkspaceLink, WorkspaceMember
from gateway.egress.notices import notify_stop
from gateway.engines.errands import tell_of_deletion
from gateway.models import Conversation, Turn
from kit.tenancy import tenant_scope
from workspaces.language_models.services import remove_models
from workspaces.mcp_servers.services import remove_servers
from workspaces.prompts.services import forget_prompts, remove_prompts

BATCH = 100  # conversations of one transaction


def end_graces() -> None:
    """Can be run at any time, and again after it broke off: each step is done or not."""
    now = timezone.now()
    due = Workspace.objects.filter(deleted_at=None, delete_after__lte=now).select_related("tenant")
    for workspace in due.order_by("delete_after"):
        _empty(workspace)
    gone = Departure.objects.filter(delete_after__lte=now).select_related("tenant", "user")
    for departure in gone.order_by("delete_after"):
        _forget(departure)


def _empty(workspace: Workspace) -> None:
    with tenant_scope(workspace.tenant.ref):
        deleted = sum(_delete_all(Conversation.objects.filter(workspace_id=workspace.id)))
        Turn.objects.filter(workspace_id=workspace.id).delete()
        remove_models(workspace_id=workspace.id)
        remove_servers(workspace_id=workspace.id)
        remove_prompts(workspace_id=workspace.id)
    with transaction.atomic():
        for model in (ApiKey, InvitationPlace, WorkspaceLink, WorkspaceMember):
            model.objects.filter(workspace=workspace).delete()
        Workspace.objects.filter(id=workspace.id).update(deleted_at=timezone.now())
        audit.record(
            "workspace.emptied",
            tenant_id=workspace.tenant_id,
            workspace_id=workspace.id,
            target=workspace.slug,
            via="grace",
            conversations=deleted,
        )


def _forget(departure: Departure) -> None:
    """Shared conversations and prompts are the team's; they stay."""
    with tenant_scope(departure.tenant.ref):
        private = Conversation.objects.filter(user_id=departure.user_id, is_shared=False)
        deleted = sum(_delete_all(private))
        forgotten = forget_prompts(user_id=departure.user_id)
    with transaction.atomic():
        Departure.objects.filter(id=departure.id).delete()
        audit.record(
            "member.conversations_deleted",
            tenant_id=departure.tenant_id,
            target=departure.user.email,
            via="grace",
            conversations=deleted,
            prompts=forgotten,
        )


def _delete_all(rows: QuerySet[Conversation]) -> Iterator[int]:
    """Here and, by errands, at their engines."""
    while True:
        with transaction.atomic():
            batch = list(rows.select_for_update().order_by("id")[:BATCH])
            running = Turn.objects.filter(conversation__in=batch, status=Turn.Status.RUNNING)
            for turn_id in running.values_list("id", flat=True):
                notify_stop(turn_id)
            for conversation in batch:
                tell_of_deletion(conversation)
            Conversation.objects.filter(id__in=[row.id for row in batch]).delete()
        if not batch:
            return
        yield len(batch)
