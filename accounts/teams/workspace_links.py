"""A workspace's invite link: anyone who has it can join, a number of times and until it expires."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import services as audit
from accounts.errors import InvitationInvalid
from accounts.keys.bearer_secrets import hash_of, make_secret, split_token
from accounts.mail.links import site_link
from accounts.models import Membership, User, Workspace, WorkspaceLink
from accounts.models.invitations import WorkspaceLinkQuerySet
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.inputs import LinkInput
from accounts.teams.members import acting, join_tenant, join_workspace, lock_tenant
from kit.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class NewLink:
    """Only the service that creates a link returns its URL; the database has a hash."""

    row: WorkspaceLink
    url: str


def open_link(*, principal: Principal, link: LinkInput) -> NewLink:
    """Creates a link; the previous one no longer works."""
    with acting(principal, Action.WORKSPACE_LINK) as actor:
        if not Workspace.objects.open().filter(id=actor.workspace.id).exists():
            raise Conflict("Archived workspaces cannot take new members.")
        _current(actor).update(revoked_at=timezone.now())
        secret = make_secret()
        row = WorkspaceLink.objects.create(
            workspace_id=actor.workspace.id,
            role=link.role,
            secret_hash=hash_of(secret),
            most_uses=link.most_uses,
            created_by_id=actor.user_id,
            expires_at=timezone.now() + timedelta(days=link.days),
        )
        audit.record(
            "workspace_link.opened",
            principal=actor,
            target=actor.workspace.slug,
            uses=link.most_uses,
            days=link.days,
        )
    return NewLink(row=row, url=site_link(f"/join/{actor.tenant.slug}.{secret}"))


def close_link(*, principal: Principal) -> None:
    with acting(principal, Action.WORKSPACE_LINK) as actor:
        if not _current(actor).update(revoked_at=timezone.now()):
            raise NotFound
        audit.record("workspace_link.closed", principal=actor, target=actor.workspace.slug)


def current_link(principal: Principal) -> WorkspaceLink:
    """The link that was not turned off, even if used up or expired; otherwise NotFound."""
    expect(principal, Action.WORKSPACE_LINK)
    link = _current(principal).first()
    if link is None:
        raise NotFound
    return link


def find_link(token: str) -> WorkspaceLink:
    """The usable link that a token belongs to, or InvitationInvalid."""
    slug, secret = split_token(token)
    rows = WorkspaceLink.objects.usable().select_related("workspace__tenant")
    link = rows.filter(secret_hash=hash_of(secret), workspace__tenant__slug=slug).first()
    if link is None:
        raise InvitationInvalid
    return link


@transaction.atomic
def join(*, token: str, user: User) -> WorkspaceLink:
    """Uses the link once; for a present member it does nothing."""
    link = find_link(token)
    tenant = lock_tenant(link.workspace.tenant_id)
    if link.workspace.members.filter(user=user).exists():
        return link
    left = WorkspaceLink.objects.current().filter(id=link.id, uses__lt=F("most_uses"))
    if not left.update(uses=F("uses") + 1):
        raise InvitationInvalid
    membership = join_tenant(tenant=tenant, user=user, role=Membership.Role.MEMBER)
    member = join_workspace(workspace=link.workspace, membership=membership, role=link.role)
    audit.record(
        "workspace_link.used",
        actor_id=user.id,
        tenant_id=tenant.id,
        workspace_id=link.workspace_id,
        target=user.email,
        changes={"role": [None, member.role]},
    )
    access_changed(user.id)
    return link


def _current(principal: Principal) -> WorkspaceLinkQuerySet:
    return WorkspaceLink.objects.current().filter(workspace_id=principal.workspace.id)
