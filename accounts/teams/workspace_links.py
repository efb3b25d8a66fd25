"""The open link to a workspace: whoever has it comes in, so many times and until then."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.errors import InvitationInvalid
from accounts.keys.bearer_secrets import hash_of, make_secret, split_token
from accounts.mail.links import site_link
from accounts.models import Membership, Tenant, User, Workspace, WorkspaceLink
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.members import acting, join_tenant, join_workspace
from kit.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class NewLink:
    """The one moment at which the link can be read."""

    row: WorkspaceLink
    url: str


def open_link(*, principal: Principal, role: str, most_uses: int, days: int) -> NewLink:
    """A new link; the one before it opens nothing any more."""
    with acting(principal, Action.WORKSPACE_LINK) as actor:
        if not Workspace.objects.filter(id=actor.workspace.id, archived_at=None, deleted_at=None).exists():
            raise Conflict("Archived workspaces cannot take new members.")
        _live(actor).update(revoked_at=timezone.now())
        secret = make_secret()
        row = WorkspaceLink.objects.create(
            workspace_id=actor.workspace.id,
            role=role,
            secret_hash=hash_of(secret),
            most_uses=most_uses,
            created_by_id=actor.user_id,
            expires_at=timezone.now() + timedelta(days=days),
        )
        audit.record(
            "workspace_link.opened", principal=actor, target=actor.workspace.slug, uses=most_uses, days=days
        )
    return NewLink(row=row, url=site_link(f"/join/{actor.tenant.slug}.{secret}"))


def close_link(*, principal: Principal) -> None:
    with acting(principal, Action.WORKSPACE_LINK) as actor:
        if not _live(actor).update(revoked_at=timezone.now()):
            raise NotFound
        audit.record("workspace_link.closed", principal=actor, target=actor.workspace.slug)


def current_link(principal: Principal) -> WorkspaceLink:
    """The one that stands open, used up or expired though it may be; NotFound while there is none."""
    expect(principal, Action.WORKSPACE_LINK)
    link = _live(principal).first()
    if link is None:
        raise NotFound
    return link


def find_link(token: str) -> WorkspaceLink:
    """InvitationInvalid unless it still opens its workspace."""
    slug, secret = split_token(token)
    link = (
        WorkspaceLink.objects.select_related("workspace__tenant")
        .filter(
            secret_hash=hash_of(secret),
            revoked_at=None,
            expires_at__gt=timezone.now(),
            uses__lt=F("most_uses"),
            workspace__archived_at=None,
            workspace__tenant__slug=slug,
            workspace__tenant__suspended_at=None,
        )
        .first()
    )
    if link is None:
        raise InvitationInvalid
    return link


@transaction.atomic
def join(*, token: str, user: User) -> WorkspaceLink:
    """Uses the link once; who is in the workspace already uses nothing up."""
    link = find_link(token)
    tenant = Tenant.objects.select_for_update(no_key=True).get(id=link.workspace.tenant_id)
    if link.workspace.members.filter(user=user).exists():
        return link
    left = WorkspaceLink.objects.filter(id=link.id, revoked_at=None, uses__lt=F("most_uses"))
    if not left.update(uses=F("uses") + 1):
        raise InvitationInvalid
    membership = join_tenant(tenant=tenant, user=user, role=Membership.Role.MEMBER)
    place = join_workspace(workspace=link.workspace, membership=membership, role=link.role)
    audit.record(
        "workspace_link.used",
        actor_id=user.id,
        tenant_id=tenant.id,
        workspace_id=link.workspace_id,
        target=user.email,
        changes={"role": [None, place.role]},
    )
    access_changed(user.id)
    return link


def _live(principal: Principal) -> QuerySet[WorkspaceLink]:
    return WorkspaceLink.objects.filter(workspace_id=principal.workspace.id, revoked_at=None)
