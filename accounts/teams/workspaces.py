"""Workspaces and their members: listed, changed, archived, restored, deleted after a grace period."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import Membership, Tenant, Workspace, WorkspaceMember
from accounts.models.workspaces import WorkspaceQuerySet
from accounts.policy import Action, expect, may
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.inputs import WorkspaceChange
from accounts.teams.members import acting, find_member, join_workspace
from kit.errors import Conflict, InvalidInput, NotFound


def listed_workspaces(principal: Principal) -> WorkspaceQuerySet:
    """The principal's workspaces; for people who oversee, all, archived ones too. Each has `member_count`."""
    expect(principal, Action.WORKSPACE_VIEW)
    rows = Workspace.objects.existing().filter(tenant_id=principal.tenant.id)
    if principal.is_bound:
        rows = rows.filter(id=principal.workspace.id)
    elif not may(principal, Action.WORKSPACE_OVERSEE):
        rows = rows.open().filter(members__user_id=principal.user_id)
    members = WorkspaceMember.objects.filter(workspace=OuterRef("pk")).order_by()
    counted = members.values("workspace").annotate(number=Count("id")).values("number")
    return rows.annotate(member_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0))


def find_workspace(principal: Principal) -> Workspace:
    """The workspace that the principal is in or over, with its `member_count`."""
    row = listed_workspaces(principal).filter(id=principal.workspace.id).first()
    if row is None:
        raise NotFound
    return row


@transaction.atomic
def change_workspace(*, principal: Principal, change: WorkspaceChange) -> None:
    """All changes or none. InvalidInput, Conflict."""
    change.check()
    if change.archived is False:
        restore(principal=principal)
    if change.name is not None:
        rename_workspace(principal=principal, name=change.name)
    if change.default:
        choose_default(principal=principal)
    if change.archived:
        archive(principal=principal)


def rename_workspace(*, principal: Principal, name: str) -> None:
    """The slug does not change."""
    with acting(principal, Action.WORKSPACE_CHANGE) as actor:
        workspace = _workspace(actor)
        changes = audit.change(workspace, {"name": name}, ["name"])
        if changes:
            workspace.save(update_fields=list(changes))
            audit.record("workspace.renamed", principal=actor, target=workspace.slug, changes=changes)


def choose_default(*, principal: Principal) -> None:
    """People invited to no particular workspace join this one from now on."""
    with acting(principal, Action.TENANT_CHANGE) as actor:
        workspace = _workspace(actor)
        if workspace.archived_at is not None:
            raise Conflict("Archived workspaces cannot take new members.")
        if not _is_default(workspace):
            Tenant.objects.filter(id=actor.tenant.id).update(default_workspace=workspace)
            audit.record("workspace.made_default", principal=actor, target=workspace.slug)


def archive(*, principal: Principal) -> None:
    """No one can enter it any more; its slug stays taken and its data stays."""
    with acting(principal, Action.WORKSPACE_CHANGE) as actor:
        workspace = _workspace(actor)
        _expect_not_default(workspace)
        archive_workspace(workspace=workspace, actor_id=actor.user_id, principal=actor)


def restore(*, principal: Principal) -> None:
    """Its members can enter again; a pending deletion is cancelled."""
    with acting(principal, Action.WORKSPACE_RESTORE) as actor:
        restore_workspace(workspace=_workspace(actor), actor_id=actor.user_id, principal=actor)


def delete(*, principal: Principal) -> Workspace:
    """Archives it now; its content is deleted after the grace period. Conflict for the default workspace."""
    with acting(principal, Action.WORKSPACE_DELETE) as actor:
        workspace = _workspace(actor)
        _expect_not_default(workspace)
        if workspace.delete_after is None:
            now = timezone.now()
            workspace.delete_after = now + timedelta(days=settings.GRACE_DAYS)
            workspace.archived_at = workspace.archived_at or now
            workspace.save(update_fields=["delete_after", "archived_at"])
            audit.record("workspace.deleted", principal=actor, target=workspace.slug)
            access_changed(actor.tenant.id)
    return workspace


@transaction.atomic
def archive_workspace(*, workspace: Workspace, actor_id: UUID, principal: Principal | None = None) -> None:
    """For operators too, who have no principal."""
    if Workspace.objects.open().filter(id=workspace.id).update(archived_at=timezone.now()):
        _record("workspace.archived", workspace, actor_id, principal)
        access_changed(workspace.tenant_id)


@transaction.atomic
def restore_workspace(*, workspace: Workspace, actor_id: UUID, principal: Principal | None = None) -> None:
    archived = Workspace.objects.existing().filter(id=workspace.id).exclude(archived_at=None)
    if archived.update(archived_at=None, delete_after=None):
        _record("workspace.restored", workspace, actor_id, principal)


def members_of_workspace(principal: Principal) -> QuerySet[WorkspaceMember]:
    expect(principal, Action.WORKSPACE_VIEW)
    return WorkspaceMember.objects.filter(workspace_id=principal.workspace.id).select_related("user")


def add_member(*, principal: Principal, user_id: UUID, role: str) -> WorkspaceMember:
    """Adds a member of the tenant to the workspace; a present member gets the role."""
    with acting(principal, Action.WORKSPACE_MEMBERS) as actor:
        membership = find_member(actor, user_id)
        _expect_fit(membership, role)
        workspace = _workspace(actor)
        if workspace.archived_at is not None:
            raise Conflict("Archived workspaces cannot take new members.")
        present = _member(workspace, user_id)
        member = present or join_workspace(workspace=workspace, membership=membership, role=role)
        changes = (
            audit.change(member, {"role": WorkspaceMember.Role(role).value}, ["role"])
            if present
            else {"role": [None, member.role]}
        )
        if not changes:
            return member
        if present:
            member.save(update_fields=list(changes))
        action = "workspace_member.role_changed" if present else "workspace_member.added"
        audit.record(action, principal=actor, target=membership.user.email, changes=changes)
        access_changed(user_id)
    return member


def remove_from_workspace(*, principal: Principal, user_id: UUID) -> None:
    """Removes a member. Everyone may leave a workspace themselves, but no API key does it for them."""
    own = user_id == principal.user_id and bool(principal.workspace_role)
    with acting(principal, Action.WORKSPACE_LEAVE if own else Action.WORKSPACE_MEMBERS) as actor:
        member = _member(_workspace(actor), user_id)
        if member is None:
            raise NotFound
        member.delete()
        audit.record(
            "workspace_member.left" if own else "workspace_member.removed",
            principal=actor,
            target=member.user.email,
            changes={"role": [member.role, None]},
        )
        access_changed(user_id)


def _workspace(actor: Principal) -> Workspace:
    """Read inside the lock: the second of two concurrent changes sees what the first did."""
    workspace = Workspace.objects.existing().filter(id=actor.workspace.id).first()
    if workspace is None:
        raise NotFound
    return workspace


def _member(workspace: Workspace, user_id: UUID) -> WorkspaceMember | None:
    return WorkspaceMember.objects.select_related("user").filter(workspace=workspace, user=user_id).first()


def _expect_fit(membership: Membership, role: str) -> None:
    if membership.role == Membership.Role.GUEST and role == WorkspaceMember.Role.MANAGER:
        raise InvalidInput(role=["Guests of the team cannot manage a workspace."])


def _is_default(workspace: Workspace) -> bool:
    found: bool = Tenant.objects.filter(id=workspace.tenant_id, default_workspace=workspace).exists()
    return found


def _expect_not_default(workspace: Workspace) -> None:
    if _is_default(workspace):
        raise Conflict("This is the team's default workspace. Make another workspace the default first.")


def _record(action: str, workspace: Workspace, actor_id: UUID, principal: Principal | None) -> None:
    if principal is not None:
        audit.record(action, principal=principal, target=workspace.slug)
        return
    audit.record(
        action,
        actor_id=actor_id,
        tenant_id=workspace.tenant_id,
        workspace_id=workspace.id,
        target=workspace.slug,
        via="admin",
    )
