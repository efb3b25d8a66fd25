"""People who join by an invitation or an invite link, with a present or a new account."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.db import transaction

from accounts.audit import services as audit
from accounts.email_addresses import plain_address
from accounts.errors import AddressUnverified, InvitationInvalid
from accounts.models import Invitation, User
from accounts.principals import Principal, find_principal
from accounts.sign_in.recovery import prove_by_mail
from accounts.sign_in.users import create_account, is_verified, prove
from accounts.teams.invitations import accept, find_invitation
from accounts.teams.workspace_links import find_link, join
from kit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a link is for, shown to anyone who has it."""

    tenant_name: str
    inviter: str
    email: str
    workspaces: list[str]
    expires_at: datetime
    has_account: bool


def welcome_of_invitation(token: str) -> Welcome:
    invitation = find_invitation(token)
    return Welcome(
        tenant_name=invitation.tenant.name,
        inviter=invitation.invited_by.label if invitation.invited_by else "",
        email=invitation.email,
        workspaces=[row.workspace.name for row in invitation.workspaces.open()],
        expires_at=invitation.expires_at,
        has_account=User.objects.filter(email=invitation.email).exists(),
    )


def welcome_of_link(token: str) -> Welcome:
    """An invite link is not bound to an email address."""
    link = find_link(token)
    return Welcome(
        tenant_name=link.workspace.tenant.name,
        inviter="",
        email="",
        workspaces=[link.workspace.name],
        expires_at=link.expires_at,
        has_account=False,
    )


def accept_with_password(*, token: str, password: str, code: str = "", name: str = "") -> Principal:
    """Signs the invited person in, or creates their account with that password; then accepts.

    The link was mailed to the address, so having it proves the address.
    """
    invitation = find_invitation(token)
    if User.objects.filter(email=invitation.email).exists():
        user = prove(email=invitation.email, password=password, code=code)
        prove_by_mail(user)
        return accept_as(token=token, user=user)
    with transaction.atomic():
        user = create_invited(invitation, password=password, name=name)
        return accept_as(token=token, user=user)


def create_invited(invitation: Invitation, *, password: str | None, name: str) -> User:
    """An account for the invited address, which the link has proved."""
    if not name.strip():
        raise InvalidInput(name=["Say how others should call you."])
    user = create_account(email=invitation.email, password=password, name=name.strip(), verified=True)
    audit.record("user.signed_up", actor_id=user.id, tenant_id=invitation.tenant_id, target=user.email)
    return user


def accept_as(*, token: str, user: User) -> Principal:
    """Accepts the invitation; the principal is in its first open workspace."""
    invitation = accept(token=token, user=user)
    first = invitation.workspaces.open().first()
    if first is None:
        raise InvitationInvalid
    return _principal(user, invitation.tenant.slug, first.workspace.slug)


def join_with_password(*, token: str, email: str, password: str, code: str = "") -> Principal:
    """Joins by an invite link with a present account."""
    find_link(token)
    user = prove(email=plain_address(email), password=password, code=code)
    return join_as(token=token, user=user)


def join_as(*, token: str, user: User) -> Principal:
    """AddressUnverified before anything else: anyone may have the link, so the address must be proved."""
    if not is_verified(user):
        raise AddressUnverified
    link = join(token=token, user=user)
    return _principal(user, link.workspace.tenant.slug, link.workspace.slug)


def _principal(user: User, tenant_slug: str, workspace_slug: str) -> Principal:
    principal = find_principal(user_id=user.id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    return cast("Principal", principal)  # they have just joined
