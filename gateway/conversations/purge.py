"""Final deletion after the grace period: deleted workspaces, and the private data of departed members."""

from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import ApiKey, Departure, InvitationWorkspace, Workspace, WorkspaceLink, WorkspaceMember
from gateway.calls.channels import notify_stop
from gateway.engines.outbox import defer_deletion
from gateway.models import Conversation, Turn
from kit.tenancy import tenant_scope
from workspaces.kinds import delete_contents, forget_person

BATCH = 100  # conversations in one transaction


def end_grace_periods() -> None:
    """Can be run at any time, also again after an abort: each step and its count are one transaction."""
    now = timezone.now()
    due = Workspace.objects.existing().filter(delete_after__lte=now).select_related("tenant")
    for workspace in due.order_by("delete_after"):
        _empty(workspace)
    gone = Departure.objects.filter(delete_after__lte=now).select_related("tenant", "user")
    for departure in gone.order_by("delete_after"):
        _forget(departure)


def _empty(workspace: Workspace) -> None:
    due = Workspace.objects.existing().filter(id=workspace.id, delete_after=workspace.delete_after)
    with tenant_scope(workspace.tenant.ref):
        if not _delete_all(Conversation.objects.filter(workspace_id=workspace.id), due):
            return
        Turn.objects.filter(workspace_id=workspace.id).delete()
        delete_contents(workspace.id)
    with transaction.atomic():
        row = due.select_for_update().first()
        if row is None:
            return
        for model in (ApiKey, InvitationWorkspace, WorkspaceLink, WorkspaceMember):
            model.objects.filter(workspace=workspace).delete()
        due.update(deleted_at=timezone.now())
        audit.record(
            "workspace.emptied",
            tenant_id=workspace.tenant_id,
            workspace_id=workspace.id,
            target=workspace.slug,
            via="grace",
            conversations=row.conversations_deleted,
        )


def _forget(departure: Departure) -> None:
    """Shared conversations and prompts belong to the team and stay."""
    due = Departure.objects.filter(id=departure.id)
    with tenant_scope(departure.tenant.ref):
        private = Conversation.objects.filter(user_id=departure.user_id, is_shared=False)
        if not _delete_all(private, due):
            return
    with transaction.atomic(), tenant_scope(departure.tenant.ref):
        row = due.select_for_update().first()
        if row is None:
            return
        forgotten = forget_person(departure.user_id)
        due.delete()
        audit.record(
            "member.conversations_deleted",
            tenant_id=departure.tenant_id,
            target=departure.user.email,
            via="grace",
            conversations=row.conversations_deleted,
            **forgotten,
        )


def _delete_all(rows: QuerySet[Conversation], due: QuerySet[Any]) -> bool:
    """Deletes them, by jobs also at their engines, and counts them on the row that is `due`.

    False, with nothing more deleted, once that row is no longer due: the member returned or the workspace was
    restored.
    """
    while True:
        with transaction.atomic():
            batch = list(rows.select_for_update().order_by("id")[:BATCH])
            if not due.update(conversations_deleted=F("conversations_deleted") + len(batch)):
                return False
            _delete(batch)
        if not batch:
            return True


def _delete(batch: list[Conversation]) -> None:
    for turn_id in Turn.objects.running().filter(conversation__in=batch).ids():
        notify_stop(turn_id)
    for conversation in batch:
        defer_deletion(conversation)
    Conversation.objects.filter(id__in=[row.id for row in batch]).delete()
