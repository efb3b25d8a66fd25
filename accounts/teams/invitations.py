"""Invitations to one address each: sent, sent again, withdrawn, and accepted once by that address."""

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
from accounts.models import Invitation, InvitationPlace, Membership, Tenant, User, Workspace
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.revocation import access_changed
from accounts.teams.invitation_limits import (
    expect_recipient_room,
    expect_sender,
    expect_team_room,
    lock_recipients,
    note_mail,
)
from accounts.teams.members import acting, join_tenant, join_workspace
from kit.errors import Conflict, DomainError, InvalidInput, NotFound

DAYS = 7
MOST_AT_ONCE = 100
MOST_OPEN = 1000  # in a tenant
MOST_SENDS = 5  # of one invitation
Places = Mapping[str, str]  # a role for each workspace's slug


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one address of a list."""

    email: str
    invitation: Invitation | None = None
    problem: DomainError | None = None


def invite(*, principal: Principal, email: str, role: str, places: Places) -> Invitation:
    """Mails the invitation; Conflict for a member and for an address that is invited already."""
    address = normal_address(email)
    with acting(principal, _right_to_invite(role)) as actor:
        _expect_room(actor, [address])
        return _invite(actor, address, role, _workspaces(actor, places))


def invite_list(*, principal: Principal, emails: Sequence[str], role: str, places: Places) -> list[Outcome]:
    """Each address by itself: those that cannot be invited say why, the others are.

    A list that goes beyond what the team may send is refused as a whole.
    """
    if not 0 < len(emails) <= MOST_AT_ONCE:
        raise InvalidInput(emails=[f"Enter 1 to {MOST_AT_ONCE} email addresses at a time."])
    with acting(principal, _right_to_invite(role)) as actor:
        _expect_room(actor, [plain_address(email) for email in emails])
        opened = _workspaces(actor, places)
        return [_outcome(actor, email, role, opened) for email in dict.fromkeys(emails)]


def _right_to_invite(role: str) -> Action:
    """Only a person invites an admin: by a key, a key could turn into a person who runs the team."""
    return Action.ADMINS_CHANGE if role == Membership.Role.ADMIN else Action.INVITATIONS_CHANGE


def _outcome(actor: Principal, email: str, role: str, opened: list[InvitationPlace]) -> Outcome:
    try:
        address = normal_address(email)
        return Outcome(address, invitation=_invite(actor, address, role, opened))
    except DomainError as problem:
        return Outcome(email[:254], problem=problem)


def _invite(actor: Principal, address: str, role: str, opened: list[InvitationPlace]) -> Invitation:
    if role == Membership.Role.OWNER:
        raise InvalidInput(
            role=["You cannot invite someone as owner. Invite them, then offer them ownership."]
        )
    if Membership.objects.filter(tenant=actor.tenant.id, user__email=address).exists():
        raise Conflict("This person is already a member.")
    now = timezone.now()
    mine = Invitation.objects.filter(tenant=actor.tenant.id, email=address, accepted_at=None, revoked_at=None)
    mine.filter(expires_at__lte=now).update(revoked_at=now)  # it stands in nobody's way
    if mine.exists():
        raise Conflict("This address has already been invited. Send the invitation again instead.")
    expect_recipient_room(address)
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
    InvitationPlace.objects.bulk_create(
        InvitationPlace(invitation=invitation, workspace=place.workspace, role=place.role) for place in opened
    )
    _mail(actor, invitation, secret)
    told = {place.workspace.slug: place.role for place in opened}
    audit.record(
        "invitation.sent",
        principal=actor,
        of_tenant=True,
        target=address,
        changes={"role": [None, role]},
        workspaces=told,
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
    """A new link for seven more days; the old one opens nothing any more."""
    with acting(principal, Action.INVITATIONS_CHANGE) as actor:
        invitation = _open_invitation(actor, invitation_id)
        expect(actor, _right_to_invite(invitation.role))
        _expect_sending(actor, [invitation.email])
        if invitation.times_sent >= MOST_SENDS:
            raise Conflict(
                f"This invitation was sent {MOST_SENDS} times. Withdraw it and invite the address again."
            )
        expect_recipient_room(invitation.email)
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
    """Those neither accepted nor withdrawn; the expired ones among them can be sent again."""
    expect(principal, Action.INVITATIONS_VIEW)
    rows = Invitation.objects.filter(tenant=principal.tenant.id, accepted_at=None, revoked_at=None)
    return rows.select_related("invited_by").prefetch_related("places__workspace")


def find_invitation(token: str) -> Invitation:
    """The open invitation behind a link; InvitationInvalid for any other."""
    slug, secret = split_token(token)
    invitation = (
        Invitation.objects.select_related("tenant", "invited_by")
        .filter(
            tenant__slug=slug,
            tenant__suspended_at=None,
            secret_hash=hash_of(secret),
            accepted_at=None,
            revoked_at=None,
            expires_at__gt=timezone.now(),
        )
        .first()
    )
    if invitation is None:
        raise InvitationInvalid
    return invitation


@transaction.atomic
def accept(*, token: str, user: User) -> Invitation:
    """Makes the user a member; WrongAddress unless it is who was invited. Of two at once one succeeds."""
    invitation = find_invitation(token)
    if user.email != invitation.email:
        raise WrongAddress
    tenant = Tenant.objects.select_for_update(no_key=True).get(id=invitation.tenant_id)
    taken = Invitation.objects.filter(id=invitation.id, accepted_at=None, revoked_at=None)
    if not taken.update(accepted_at=timezone.now()):
        raise InvitationInvalid
    places = [p for p in invitation.places.select_related("workspace") if p.workspace.archived_at is None]
    if not places:
        raise InvitationInvalid("The workspaces of this invitation are archived. Ask for a new invitation.")
    membership = join_tenant(tenant=tenant, user=user, role=invitation.role)
    for place in places:
        join_workspace(workspace=place.workspace, membership=membership, role=place.role)
    audit.record(
        "invitation.accepted",
        actor_id=user.id,
        tenant_id=tenant.id,
        target=invitation.email,
        changes={"role": [None, membership.role]},
    )
    access_changed(user.id)
    return invitation


def _workspaces(actor: Principal, places: Places) -> list[InvitationPlace]:
    """The named workspaces, else the default one; each must be open."""
    here = Workspace.objects.filter(tenant=actor.tenant.id, archived_at=None, deleted_at=None)
    if not places:
        default = Q(id__in=Tenant.objects.filter(id=actor.tenant.id).values("default_workspace"))
        found = here.filter(default)
        if not found:
            raise InvalidInput(workspaces=["Choose at least one workspace."])
        return [InvitationPlace(workspace=found[0])]
    by_slug = {workspace.slug: workspace for workspace in here.filter(slug__in=list(places))}
    missing = sorted(set(places) - set(by_slug))
    if missing:
        raise InvalidInput(workspaces=[f"No active workspace called {slug[:40]}." for slug in missing])
    return [InvitationPlace(workspace=by_slug[slug], role=role) for slug, role in places.items()]


def _open_invitation(actor: Principal, invitation_id: UUID) -> Invitation:
    invitation = open_invitations(actor).filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound
    return invitation


def _expect_room(actor: Principal, addresses: Sequence[str]) -> None:
    standing = Invitation.objects.filter(tenant=actor.tenant.id, accepted_at=None, revoked_at=None)
    if standing.count() + len(addresses) > MOST_OPEN:
        raise Conflict(f"A team can have at most {MOST_OPEN} open invitations. Withdraw some first.")
    _expect_sending(actor, addresses)


def _expect_sending(actor: Principal, addresses: Sequence[str]) -> None:
    """The actor may mail, and the team so many more today. Locks the addresses against other teams."""
    expect_sender(actor)
    expect_team_room(actor.tenant.id, len(set(addresses)))
    lock_recipients(addresses)
