"""Invitations, each for one address: sent, sent again, withdrawn, and accepted once by that address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.email_addresses import normal_address, plain_address
from accounts.errors import InvitationInvalid, WrongAddress
from accounts.keys.bearer_secrets import hash_of, make_secret, split_token
from accounts.mail.links import site_link
from accounts.mail.services import send_mail
from accounts.models import Invitation, InvitationWorkspace, Membership, Tenant, User, Workspace
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.inputs import MOST_AT_ONCE
from accounts.teams.invitation_limits import (
    expect_recipient_below_limit,
    expect_sender,
    expect_team_below_limit,
    lock_recipients,
    note_mail,
)
from accounts.teams.members import acting, join_tenant, join_workspace, lock_tenant
from kit.errors import Conflict, DomainError, InvalidInput, NotFound

DAYS = 7
MOST_OPEN = 1000  # in a tenant
MOST_SENDS = 5  # of one invitation
WorkspaceRoles = Mapping[str, str]  # a role for each workspace's slug


@dataclass(frozen=True, slots=True)
class Outcome:
    """The invitation for one address of a list, or why there is none."""

    email: str
    invitation: Invitation | None = None
    problem: DomainError | None = None


def invite(*, principal: Principal, email: str, role: str, workspace_roles: WorkspaceRoles) -> Invitation:
    """Mails the invitation; Conflict for a member and for an address that is invited already."""
    address = normal_address(email)
    with acting(principal, _right_to_invite(role)) as actor:
        _expect_below_limits(actor, [address])
        return _invite(actor, address, role, _workspaces(actor, workspace_roles))


def invite_list(
    *, principal: Principal, emails: Sequence[str], role: str, workspace_roles: WorkspaceRoles
) -> list[Outcome]:
    """Invites each address by itself; the outcome of one that cannot be invited says why.

    A list that exceeds the team's limit is refused as a whole.
    """
    if not 0 < len(emails) <= MOST_AT_ONCE:
        raise InvalidInput(emails=[f"Enter 1 to {MOST_AT_ONCE} email addresses at a time."])
    with acting(principal, _right_to_invite(role)) as actor:
        _expect_below_limits(actor, [plain_address(email) for email in emails])
        opened = _workspaces(actor, workspace_roles)
        return [_outcome(actor, email, role, opened) for email in dict.fromkeys(emails)]


def _right_to_invite(role: str) -> Action:
    """Only a person invites an admin; otherwise a key could make itself an account with admin rights."""
    return Action.ADMINS_CHANGE if role == Membership.Role.ADMIN else Action.INVITATIONS_CHANGE


def _outcome(actor: Principal, email: str, role: str, opened: list[InvitationWorkspace]) -> Outcome:
    try:
        address = normal_address(email)
        return Outcome(address, invitation=_invite(actor, address, role, opened))
    except DomainError as problem:
        return Outcome(email[:254], problem=problem)


def _invite(actor: Principal, address: str, role: str, opened: list[InvitationWorkspace]) -> Invitation:
    if role == Membership.Role.OWNER:
        raise InvalidInput(
            role=["You cannot invite someone as owner. Invite them, then offer them ownership."]
        )
    if Membership.objects.filter(tenant=actor.tenant.id, user__email=address).exists():
        raise Conflict("This person is already a member.")
    now = timezone.now()
    earlier = Invitation.objects.pending().filter(tenant=actor.tenant.id, email=address)
    earlier.filter(expires_at__lte=now).update(revoked_at=now)
    if earlier.exists():
        raise Conflict("This address has already been invited. Send the invitation again instead.")
    expect_recipient_below_limit(address)
    secret = make_secret()
    invitation = Invitation.objects.create(
        tenant_id=actor.tenant.id,
        email=address,
        role=role,
        secret_hash=hash_of(secret),
        invited_by_id=actor.user_id,
        sent_at=now,
        expires_at=now + timedelta(days=DAYS),
    )
    InvitationWorkspace.objects.bulk_create(
        InvitationWorkspace(invitation=invitation, workspace=row.workspace, role=row.role) for row in opened
    )
    _mail(actor, invitation, secret)
    audit.record(
        "invitation.sent",
        principal=actor,
        of_tenant=True,
        target=address,
        changes={"role": [None, role]},
        workspaces={row.workspace.slug: row.role for row in opened},
    )
    return invitation


def _mail(actor: Principal, invitation: Invitation, secret: str) -> None:
    note_mail(actor.tenant.id, invitation.email)
    send_mail(
        "invitation",
        invitation.email,
        {
            "tenant": actor.tenant_name,
            "inviter": actor.name,
            "days": DAYS,
            "url": site_link(f"/invitations/{actor.tenant.slug}.{secret}"),
        },
    )


def resend(*, principal: Principal, invitation_id: UUID) -> Invitation:
    """Mails a new link for seven more days; the old one no longer works."""
    with acting(principal, Action.INVITATIONS_CHANGE) as actor:
        invitation = _open_invitation(actor, invitation_id)
        expect(actor, _right_to_invite(invitation.role))
        _expect_sending(actor, [invitation.email])
        if invitation.times_sent >= MOST_SENDS:
            raise Conflict(
                f"This invitation was sent {MOST_SENDS} times. Withdraw it and invite the address again."
            )
        expect_recipient_below_limit(invitation.email)
        secret, now = make_secret(), timezone.now()
        Invitation.objects.filter(id=invitation.id).update(
            secret_hash=hash_of(secret),
            sent_at=now,
            expires_at=now + timedelta(days=DAYS),
            times_sent=F("times_sent") + 1,
        )
        _mail(actor, invitation, secret)
        audit.record("invitation.resent", principal=actor, of_tenant=True, target=invitation.email)
    invitation.refresh_from_db()
    return invitation


def revoke(*, principal: Principal, invitation_id: UUID) -> None:
    with acting(principal, Action.INVITATIONS_CHANGE) as actor:
        invitation = _open_invitation(actor, invitation_id)
        Invitation.objects.filter(id=invitation.id).update(revoked_at=timezone.now())
        audit.record("invitation.revoked", principal=actor, of_tenant=True, target=invitation.email)


def open_invitations(principal: Principal) -> QuerySet[Invitation]:
    """Pending ones, expired ones too: they can be sent again."""
    expect(principal, Action.INVITATIONS_VIEW)
    rows = Invitation.objects.pending().filter(tenant=principal.tenant.id)
    return rows.select_related("invited_by").prefetch_related("workspaces__workspace")


def find_invitation(token: str) -> Invitation:
    """The usable invitation that a link's token belongs to, or InvitationInvalid."""
    slug, secret = split_token(token)
    rows = Invitation.objects.usable().select_related("tenant", "invited_by")
    invitation = rows.filter(tenant__slug=slug, secret_hash=hash_of(secret)).first()
    if invitation is None:
        raise InvitationInvalid
    return invitation


@transaction.atomic
def accept(*, token: str, user: User) -> Invitation:
    """Makes the user a member; WrongAddress for another account. Of two concurrent calls one succeeds."""
    invitation = find_invitation(token)
    if user.email != invitation.email:
        raise WrongAddress
    tenant = lock_tenant(invitation.tenant_id)
    if not Invitation.objects.pending().filter(id=invitation.id).update(accepted_at=timezone.now()):
        raise InvitationInvalid
    opened = list(invitation.workspaces.open())
    if not opened:
        raise InvitationInvalid("The workspaces of this invitation are archived. Ask for a new invitation.")
    membership = join_tenant(tenant=tenant, user=user, role=invitation.role)
    for row in opened:
        join_workspace(workspace=row.workspace, membership=membership, role=row.role)
    audit.record(
        "invitation.accepted",
        actor_id=user.id,
        tenant_id=tenant.id,
        target=invitation.email,
        changes={"role": [None, membership.role]},
    )
    access_changed(user.id)
    return invitation


def _workspaces(actor: Principal, roles: WorkspaceRoles) -> list[InvitationWorkspace]:
    """The named workspaces, else the default one; each must be open."""
    rows = Workspace.objects.open().filter(tenant=actor.tenant.id)
    if not roles:
        default = Q(id__in=Tenant.objects.filter(id=actor.tenant.id).values("default_workspace"))
        found = rows.filter(default)
        if not found:
            raise InvalidInput(workspaces=["Choose at least one workspace."])
        return [InvitationWorkspace(workspace=found[0])]
    by_slug = {workspace.slug: workspace for workspace in rows.filter(slug__in=list(roles))}
    missing = sorted(set(roles) - set(by_slug))
    if missing:
        raise InvalidInput(workspaces=[f"No active workspace called {slug[:40]}." for slug in missing])
    return [InvitationWorkspace(workspace=by_slug[slug], role=role) for slug, role in roles.items()]


def _open_invitation(actor: Principal, invitation_id: UUID) -> Invitation:
    invitation = open_invitations(actor).filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound
    return invitation


def _expect_below_limits(actor: Principal, addresses: Sequence[str]) -> None:
    pending = Invitation.objects.pending().filter(tenant=actor.tenant.id)
    if pending.count() + len(addresses) > MOST_OPEN:
        raise Conflict(f"A team can have at most {MOST_OPEN} open invitations. Withdraw some first.")
    _expect_sending(actor, addresses)


def _expect_sending(actor: Principal, addresses: Sequence[str]) -> None:
    """The actor may send mail, and the team so many more today. Locks the addresses against other teams."""
    expect_sender(actor)
    expect_team_below_limit(actor.tenant.id, len(set(addresses)))
    lock_recipients(addresses)
