"""A tenant's workspaces: listed, renamed, archived, restored, deleted after a grace, and who is in them."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import Membership, Tenant, Workspace, WorkspaceMember
from accounts.policy import Action, expect, may
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.members import acting, join_workspace
from kit.errors import Conflict, InvalidInput, NotFound


def listed_workspaces(principal: Principal) -> QuerySet[Workspace]:
    """Those one is in; for who oversees them all of them, archived ones too. Each knows `member_count`."""
    expect(principal, Action.WORKSPACE_VIEW)
    rows = Workspace.objects.filter(tenant_id=principal.tenant.id, deleted_at=None)
    if principal.is_bound:
        rows = rows.filter(id=principal.workspace.id)
    elif not may(principal, Action.WORKSPACE_OVERSEE):
        rows = rows.filter(archived_at=None, members__user_id=principal.user_id)
    members = WorkspaceMember.objects.filter(workspace=OuterRef("pk")).order_by()
    counted = members.values("workspace").annotate(number=Count("id")).values("number")
    return rows.annotate(member_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0))


def find_workspace(principal: Principal) -> Workspace:
    """The one that the principal is in or over, with its `member_count`."""
    row = listed_workspaces(principal).filter(id=principal.workspace.id).first()
    if row is None:
        raise NotFound
    return row


@transaction.atomic
def change_workspace(
    *, principal: Principal, name: str | None = None, archived: bool | None = None, default: bool = False
) -> None:
    """All of it or nothing; None leaves as it is."""
    if archived is False:
        restore(principal=principal)
    if name is not None:
        rename_workspace(principal=principal, name=name)
    if default:
        choose_default(principal=principal)
    if archived:
        archive(principal=principal)


def rename_workspace(*, principal: Principal, name: str) -> None:
    """The workspace that the principal is in or over; its slug stays."""
    with acting(principal, Action.WORKSPACE_CHANGE) as actor:
        workspace = _workspace(actor)
        before, workspace.name = workspace.name, name
        if before != name:
            workspace.save(update_fields=["name"])
            audit.record(
                "workspace.renamed", principal=actor, target=workspace.slug, changes={"name": [before, name]}
            )


def choose_default(*, principal: Principal) -> None:
    """From now on those arrive in this workspace who were invited to no other."""
    with acting(principal, Action.TENANT_CHANGE) as actor:
        if _workspace(actor).archived_at is not None:
            raise Conflict("Archived workspaces cannot take new members.")
        Tenant.objects.filter(id=actor.tenant.id).update(default_workspace=actor.workspace.id)
        audit.record("workspace.made_default", principal=actor, target=actor.workspace.slug)


def archive(*, principal: Principal) -> None:
    """From now on nobody enters it; its slug stays taken, its data stays."""
    with acting(principal, Action.WORKSPACE_CHANGE) as actor:
        _expect_not_default(_workspace(actor))
        archive_workspace(workspace=_workspace(actor), actor_id=actor.user_id, principal=actor)


def restore(*, principal: Principal) -> None:
    """Everybody is where they were; a deletion that waits is cancelled."""
    with acting(principal, Action.WORKSPACE_RESTORE) as actor:
        restore_workspace(workspace=_workspace(actor), actor_id=actor.user_id, principal=actor)


def delete(*, principal: Principal) -> Workspace:
    """Closed at once, deleted with what it holds after the grace period; Conflict for the default one."""
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
    """Also for operators, who are no members."""
    if Workspace.objects.filter(id=workspace.id, archived_at=None).update(archived_at=timezone.now()):
        _record("workspace.archived", workspace, actor_id, principal)
        access_changed(workspace.tenant_id)


@transaction.atomic
def restore_workspace(*, workspace: Workspace, actor_id: UUID, principal: Principal | None = None) -> None:
    closed = Workspace.objects.filter(id=workspace.id, deleted_at=None).exclude(archived_at=None)
    if closed.update(archived_at=None, delete_after=None):
        _record("workspace.restored", workspace, actor_id, principal)


def members_here(principal: Principal) -> QuerySet[WorkspaceMember]:
    """Who is in the workspace."""
    expect(principal, Action.WORKSPACE_VIEW)
    return WorkspaceMember.objects.filter(workspace_id=principal.workspace.id).select_related("user")


def add_member(*, principal: Principal, user_id: UUID, role: str) -> WorkspaceMember:
    """Somebody of the tenant comes in; who is there already gets the role."""
    with acting(principal, Action.WORKSPACE_MEMBERS) as actor:
        membership = (
            Membership.objects.select_related("user").filter(tenant=actor.tenant.id, user=user_id).first()
        )
        if membership is None:
            raise NotFound
        _expect_fit(membership, role)
        workspace = _workspace(actor)
        if workspace.archived_at is not None:
            raise Conflict("Archived workspaces cannot take new members.")
        before = _place(workspace, user_id)
        place = join_workspace(workspace=workspace, membership=membership, role=role)
        was = before.role if before else None
        if was == role:
            return place
        if before:
            place.role = WorkspaceMember.Role(role)
            place.save(update_fields=["role"])
        action = "workspace_member.role_changed" if before else "workspace_member.added"
        audit.record(
            action, principal=actor, target=membership.user.email, changes={"role": [was, place.role]}
        )
        access_changed(user_id)
    return place


def remove_from_workspace(*, principal: Principal, user_id: UUID) -> None:
    """Out of this workspace. Everyone may leave one by themselves, but no API key does it for them."""
    own = user_id == principal.user_id and bool(principal.workspace_role)
    with acting(principal, Action.WORKSPACE_LEAVE if own else Action.WORKSPACE_MEMBERS) as actor:
        place = _place(_workspace(actor), user_id)
        if place is None:
            raise NotFound
        place.delete()
        audit.record(
            "workspace_member.left" if own else "workspace_member.removed",
            principal=actor,
            target=place.user.email,
            changes={"role": [place.role, None]},
        )
        access_changed(user_id)


def _workspace(actor: Principal) -> Workspace:
    """Inside the lock: of two that change it the second sees what the first did."""
    workspace = Workspace.objects.filter(id=actor.workspace.id, deleted_at=None).first()
    if workspace is None:
        raise NotFound
    return workspace


def _place(workspace: Workspace, user_id: UUID) -> WorkspaceMember | None:
    return WorkspaceMember.objects.select_related("user").filter(workspace=workspace, user=user_id).first()


def _expect_fit(membership: Membership, role: str) -> None:
    if membership.role == Membership.Role.GUEST and role == WorkspaceMember.Role.MANAGER:
        raise InvalidInput(role=["Guests of the team cannot manage a workspace."])


def _expect_not_default(workspace: Workspace) -> None:
    if Tenant.objects.filter(id=workspace.tenant_id, default_workspace=workspace).exists():
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
