"""People who come in by an invitation or a workspace's link: with the account they have, or a new one."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.db import transaction

from accounts.audit import services as audit
from accounts.email_addresses import plain_address
from accounts.errors import AddressUnverified, InvitationInvalid
from accounts.models import Invitation, User, WorkspaceLink
from accounts.principals import Principal, find_principal
from accounts.sign_in.recovery import prove_by_mail
from accounts.sign_in.users import create_account, is_verified, prove
from accounts.teams.invitations import accept, find_invitation
from accounts.teams.workspace_links import find_link, join
from kit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a link opens, told to whoever holds it."""

    tenant_name: str
    inviter: str
    email: str
    workspaces: list[str]
    expires_at: datetime
    has_account: bool


def welcome_of_invitation(token: str) -> Welcome:
    invitation = find_invitation(token)
    places = invitation.places.filter(workspace__archived_at=None).select_related("workspace")
    return Welcome(
        tenant_name=invitation.tenant.name,
        inviter=invitation.invited_by.label if invitation.invited_by else "",
        email=invitation.email,
        workspaces=[place.workspace.name for place in places],
        expires_at=invitation.expires_at,
        has_account=User.objects.filter(email=invitation.email).exists(),
    )


def welcome_of_link(token: str) -> Welcome:
    """Without an address: anybody may come."""
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
    """Signs the invited person in, or makes their account with that password; then accepts.

    The link was mailed to the address: whoever has it has proved the address by that.
    """
    invitation = find_invitation(token)
    if User.objects.filter(email=invitation.email).exists():
        user = prove(email=invitation.email, password=password, code=code)
        prove_by_mail(user)
        return place_of_invitation(accept(token=token, user=user), user)
    with transaction.atomic():
        user = newcomer(invitation, password=password, name=name)
        return place_of_invitation(accept(token=token, user=user), user)


def newcomer(invitation: Invitation, *, password: str | None, name: str) -> User:
    """An account for the address invited, which the link has proved."""
    if not name.strip():
        raise InvalidInput(name=["Enter your name."])
    user = create_account(email=invitation.email, password=password, name=name.strip(), verified=True)
    audit.record("user.signed_up", actor_id=user.id, tenant_id=invitation.tenant_id, target=user.email)
    return user


def join_with_password(*, token: str, email: str, password: str, code: str = "") -> Principal:
    """By a workspace's link, with an account that exists."""
    find_link(token)
    user = prove(email=plain_address(email), password=password, code=code)
    return join_as(token=token, user=user)


def join_as(*, token: str, user: User) -> Principal:
    """AddressUnverified first of all: a link opens to whoever has it, so an account must be a real one's."""
    if not is_verified(user):
        raise AddressUnverified
    return place_of_link(join(token=token, user=user), user)


def place_of_invitation(invitation: Invitation, user: User) -> Principal:
    place = invitation.places.filter(workspace__archived_at=None).select_related("workspace").first()
    if place is None:
        raise InvitationInvalid
    return _entered(user, invitation.tenant.slug, place.workspace.slug)


def place_of_link(link: WorkspaceLink, user: User) -> Principal:
    return _entered(user, link.workspace.tenant.slug, link.workspace.slug)


def _entered(user: User, tenant_slug: str, workspace_slug: str) -> Principal:
    principal = find_principal(user_id=user.id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    return cast("Principal", principal)  # they have just been let in
