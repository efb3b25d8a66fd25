"""Members of a tenant and its workspaces, and their roles; changes apply from the next request.

Every change locks the tenant first and reads the actor's own role again, so that of two people who demote
each other at the same moment only one succeeds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.errors import LastOwner
from accounts.models import (
    ApiKey,
    Departure,
    Membership,
    OwnershipOffer,
    Tenant,
    User,
    Workspace,
    WorkspaceMember,
)
from accounts.policy import Action, expect, may
from accounts.principals import Principal
from accounts.revocation import access_changed
from kit.errors import Forbidden, InvalidInput, NotFound

OFFER_DAYS = 7


@contextmanager
def acting(principal: Principal, action: Action) -> Iterator[Principal]:
    """One transaction that locks the tenant; yields the principal with their current tenant role."""
    with transaction.atomic():
        lock_tenant(principal.tenant.id)
        own = Membership.objects.active().filter(id=principal.membership_id)
        role = own.values_list("role", flat=True).first()
        if role is None:
            raise NotFound
        actor = replace(principal, tenant_role=role)
        expect(actor, action)
        yield actor


def lock_tenant(tenant_id: UUID) -> Tenant:
    """Until the transaction ends, no one else changes members of the tenant."""
    tenant: Tenant = Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)
    return tenant


def members_of(principal: Principal) -> QuerySet[Membership]:
    """Everyone in the tenant, without service accounts."""
    expect(principal, Action.MEMBERS_VIEW)
    return Membership.objects.of_tenant(principal.tenant.id).filter(user__service_of=None)


def change_role(*, principal: Principal, user_id: UUID, role: str) -> Membership:
    """Changes the role in the tenant. Only people make someone an admin; ownership needs an offer."""
    with acting(principal, right_to_give(role)) as actor:
        membership = _member_below(actor, user_id)
        if role == Membership.Role.OWNER:
            raise InvalidInput(role=["Ownership is offered, and passes when it is accepted."])
        changes = audit.change(membership, {"role": Membership.Role(role).value}, ["role"])
        if changes:
            membership.save(update_fields=list(changes))
            if role == Membership.Role.GUEST:
                _demote_manager(membership)
            _record(actor, "member.role_changed", membership.user, changes=changes)
            access_changed(user_id)
    return membership


def right_to_give(role: str) -> Action:
    """The right needed to give a member this role."""
    return Action.ADMINS_CHANGE if role == Membership.Role.ADMIN else Action.MEMBERS_CHANGE


def _demote_manager(membership: Membership) -> None:
    """Guests cannot manage a workspace."""
    rows = _workspace_memberships(membership).filter(role=WorkspaceMember.Role.MANAGER)
    rows.update(role=WorkspaceMember.Role.EDITOR)


def remove_from_tenant(*, principal: Principal, user_id: UUID) -> None:
    """Removes a member, oneself included; ends their tokens, keys, sockets and running turns."""
    if user_id == principal.user_id:
        leave_tenant(principal=principal)
        return
    with acting(principal, Action.MEMBERS_CHANGE) as actor:
        membership = _member_below(actor, user_id)
        remove_member(membership=membership)
        _record(actor, "member.removed", membership.user, changes={"role": [membership.role, None]})


def memberships_of(user_id: UUID) -> QuerySet[Membership]:
    """The user's teams, with their role in each."""
    return Membership.objects.filter(user=user_id).select_related("tenant").order_by("created_at", "id")


@transaction.atomic
def leave_by_membership(*, membership: Membership) -> None:
    """For a member of the team who is in none of its workspaces, and so has no principal."""
    remove_member(membership=membership)
    audit.record(
        "member.left",
        actor_id=membership.user_id,
        tenant_id=membership.tenant_id,
        target=membership.user.email,
        changes={"role": [membership.role, None]},
    )


def leave_tenant(*, principal: Principal) -> None:
    """LastOwner if no one else owns the tenant."""
    with acting(principal, Action.TENANT_LEAVE) as actor:
        membership = Membership.objects.of_tenant(actor.tenant.id).get(id=actor.membership_id)
        remove_member(membership=membership)
        _record(actor, "member.left", membership.user, changes={"role": [membership.role, None]})


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Removes the member from all workspaces too, so that joining again restores nothing unasked."""
    tenant = lock_tenant(membership.tenant_id)
    expect_other_owner(membership)
    _workspace_memberships(membership).delete()
    OwnershipOffer.objects.filter(tenant=tenant, offered_to=membership.user_id).delete()
    ApiKey.objects.unrevoked().filter(tenant=tenant, owner=membership.user_id).revoke()
    Membership.objects.filter(id=membership.id).delete()
    if tenant.departed_conversations == Tenant.Departed.DELETE:
        Departure.objects.update_or_create(
            tenant=tenant,
            user_id=membership.user_id,
            defaults={"delete_after": timezone.now() + timedelta(days=settings.GRACE_DAYS)},
        )
    access_changed(membership.user_id)


def expect_other_owner(membership: Membership) -> None:
    """LastOwner if the member is the tenant's only owner."""
    if membership.is_last_owner:
        raise LastOwner


def join_tenant(*, tenant: Tenant, user: User, role: str) -> Membership:
    """Makes the user a member; a present member keeps their role."""
    membership, is_new = Membership.objects.get_or_create(tenant=tenant, user=user, defaults={"role": role})
    if is_new:
        Departure.objects.filter(tenant=tenant, user=user).delete()
    return membership


def join_workspace(*, workspace: Workspace, membership: Membership, role: str) -> WorkspaceMember:
    """Adds the member to the workspace; a present member keeps their role. Guests cannot manage one."""
    if membership.role == Membership.Role.GUEST and role == WorkspaceMember.Role.MANAGER:
        role = WorkspaceMember.Role.EDITOR
    member, _ = WorkspaceMember.objects.get_or_create(
        workspace=workspace, user_id=membership.user_id, defaults={"role": role}
    )
    return member


def offer_ownership(*, principal: Principal, user_id: UUID) -> OwnershipOffer:
    """Replaces an earlier offer; nothing changes until it is accepted."""
    with acting(principal, Action.OWNERSHIP_PASS) as actor:
        heir = find_member(actor, user_id)
        if heir.user_id == actor.user_id or heir.role in {Membership.Role.OWNER, Membership.Role.GUEST}:
            raise InvalidInput(user_id=["Offer it to an admin or a member."])
        offer, _ = OwnershipOffer.objects.update_or_create(
            tenant_id=actor.tenant.id,
            defaults={
                "offered_by_id": actor.user_id,
                "offered_to_id": user_id,
                "expires_at": timezone.now() + timedelta(days=OFFER_DAYS),
            },
        )
        _record(actor, "ownership.offered", heir.user)
    return offer


def current_offer(principal: Principal) -> OwnershipOffer:
    """The open offer, for owners and for its recipient; NotFound for everyone else."""
    offer = OwnershipOffer.objects.open(principal.tenant.id).first()
    if offer is None or not (
        may(principal, Action.OWNERSHIP_PASS) or offer.offered_to_id == principal.user_id
    ):
        raise NotFound
    return offer


def withdraw_offer(*, principal: Principal) -> None:
    with acting(principal, Action.OWNERSHIP_PASS) as actor:
        offer = OwnershipOffer.objects.select_related("offered_to").filter(tenant=actor.tenant.id).first()
        if offer is None:
            raise NotFound
        offer.delete()
        _record(actor, "ownership.withdrawn", offer.offered_to)


def accept_ownership(*, principal: Principal) -> None:
    """For the offer's recipient, if the giver still owns the tenant; the giver becomes an admin."""
    with acting(principal, Action.OWNERSHIP_ACCEPT) as actor:
        offer = OwnershipOffer.objects.open(actor.tenant.id).filter(offered_to=actor.user_id).first()
        members = Membership.objects.filter(tenant=actor.tenant.id)
        giver = members.owners().filter(user=offer.offered_by_id).first() if offer else None
        if offer is None or giver is None:
            raise NotFound
        members.filter(id=actor.membership_id).update(role=Membership.Role.OWNER)
        members.filter(id=giver.id).update(role=Membership.Role.ADMIN)
        offer.delete()
        passed = {"owner": [offer.offered_by.email, offer.offered_to.email]}
        _record(actor, "ownership.passed", offer.offered_to, changes=passed)
        access_changed(giver.user_id)
        access_changed(actor.user_id)


def find_member(actor: Principal, user_id: UUID) -> Membership:
    """The user's membership in the actor's tenant, or NotFound."""
    membership = Membership.objects.of_tenant(actor.tenant.id).filter(user=user_id).first()
    if membership is None:
        raise NotFound
    return membership


def _member_below(actor: Principal, user_id: UUID) -> Membership:
    """A member whom the actor may change: only owners change owners, and the last one stays."""
    membership = find_member(actor, user_id)
    if membership.role == Membership.Role.OWNER:
        expect_other_owner(membership)
        if actor.tenant_role != Membership.Role.OWNER:
            raise Forbidden("Only an owner changes what an owner may do.")
    return membership


def _workspace_memberships(membership: Membership) -> QuerySet[WorkspaceMember]:
    return WorkspaceMember.objects.filter(
        user_id=membership.user_id, workspace__tenant_id=membership.tenant_id
    )


def _record(actor: Principal, action: str, subject: User, changes: audit.Changes | None = None) -> None:
    audit.record(action, principal=actor, of_tenant=True, target=subject.email, changes=changes)
